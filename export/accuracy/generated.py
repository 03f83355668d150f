"""Generates hourly candles of coins, currency pairs and shares to measure on where no real ones are given."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from export.accuracy.windows import CandleSeries
from market.candles import candle_features
from market.instruments import default_instruments
from market.time_grid import past_timestamps
from market.types import DatetimeArray, Float64Array

END: Final = np.datetime64("2025-06-18T12:00:00", "us")
CANDLES: Final = 1500
SEED: Final = 7

_PERSISTENCE: Final = 0.99  # of the log volatility from hour to hour: weeks are quiet or volatile
_VOLATILITY_STEP: Final = 0.04
_TAIL: Final = 4.0  # degrees of freedom of an hour's return: as heavy as those of real markets


@dataclass(frozen=True)
class Walk:
    """A symbol's first price, standard deviation of an hour's log return, and volume of an hour."""

    price: float
    volatility: float
    volume: float


WALKS: Final[Mapping[str, Walk]] = {
    "BTC-USD": Walk(96_000, 0.0053, 700),
    "ETH-USD": Walk(3_300, 0.0067, 9_000),
    "SOL-USD": Walk(190, 0.0086, 160_000),
    "EURUSD": Walk(1.06, 0.0009, 5_200),
    "USDJPY": Walk(152.0, 0.0012, 6_500),
    "GBPUSD": Walk(1.26, 0.0010, 5_000),
    "SPY": Walk(590, 0.0032, 7e6),
    "MSFT": Walk(430, 0.0053, 2.6e6),
    "NVDA": Walk(138, 0.0110, 3e7),
}


def generated_candles(seed: int = SEED) -> list[CandleSeries]:
    """Return `CANDLES` hourly candles of each symbol of `WALKS`; a seed gives the same ones everywhere."""
    series = []
    for number, (symbol, walk) in enumerate(WALKS.items()):
        instrument = default_instruments()[symbol]
        stamps = past_timestamps(instrument, "1h", END, CANDLES)
        candles = _candles(walk, stamps, np.random.default_rng([seed, number]))
        series.append(
            CandleSeries(symbol, instrument.asset_class, instrument.model_time_zone, stamps, candles)
        )
    return series


def _candles(walk: Walk, stamps: DatetimeArray, rng: np.random.Generator) -> Float64Array:
    """Return (n, 6) candles of a random walk with volatility clusters and busy hours."""
    count = len(stamps)
    clusters = np.zeros(count)
    for i, shock in enumerate(rng.normal(0, _VOLATILITY_STEP, count - 1), start=1):
        clusters[i] = _PERSISTENCE * clusters[i - 1] + shock
    hour = (stamps.astype("datetime64[h]") - stamps.astype("datetime64[D]")).astype(int)
    busy = 0.8 + 0.5 * np.exp(-(((hour - 14) / 4) ** 2))  # 14:00 UTC, in London's and New York's hours
    width = walk.volatility * np.exp(clusters) * busy
    tail = rng.standard_t(_TAIL, count) * np.sqrt((_TAIL - 2) / _TAIL)
    close = walk.price * np.exp(np.cumsum(width * tail))
    open_ = np.concatenate([[walk.price], close[:-1]]) * np.exp(0.02 * width * rng.standard_normal(count))
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, 0.5, count)) * width)
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0, 0.5, count)) * width)
    volume = walk.volume * width / np.median(width) * np.exp(rng.normal(0, 0.35, count))
    return candle_features(open_, high, low, close, volume)
