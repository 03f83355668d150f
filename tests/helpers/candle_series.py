"""Series of generated candles for the measurement of accuracy."""

import numpy as np

from export.accuracy.windows import CandleSeries
from market.instruments import default_instruments


def walk(symbol: str, count: int, seed: int = 0, hole_after: int | None = None) -> CandleSeries:
    """Return hourly candles of a random walk, with a hole of weeks after `hole_after` candles."""
    rng = np.random.default_rng(seed)
    hours = np.arange(count)
    if hole_after is not None:
        hours[hole_after:] += 1000
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, count)))
    open_ = np.concatenate([[100.0], close[:-1]])
    volume = rng.lognormal(8, 0.3, count)
    candles = np.stack(
        [
            open_,
            np.maximum(open_, close) * 1.002,
            np.minimum(open_, close) * 0.998,
            close,
            volume,
            volume * close,
        ],
        axis=1,
    )
    stamps = np.datetime64("2024-01-01T00:00:00", "us") + hours * np.timedelta64(3_600_000_000, "us")
    return CandleSeries(symbol, default_instruments()[symbol].asset_class, "UTC", stamps, candles)
