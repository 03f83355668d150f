"""Stretches of generated candles, and a folder of files as trainings read it."""

from pathlib import Path

import numpy as np
import polars as pl

from export.model.config import DecoderConfig, TokenizerConfig
from flows.generated.market import generate_market
from market.instruments import default_instruments
from market.time_grid import future_timestamps
from market.types import Float32Array
from training.data.stretches import Stretch

DECODER = DecoderConfig(4, 4, 1, 32, 1, 32, 0.0, 0.0, 0.0, 0.1, True)
TOKENIZER = TokenizerConfig(6, 16, 1, 32, 2, 2, 0.0, 0.0, 0.0, 4, 4, 0.05, 1.0, 1.1, 0.05, 4)
SPLIT, UNTIL = "2025-05-20", "2025-06-10"


def stretch(
    count: int = 200,
    symbol: str = "EURUSD",
    timeframe: str = "1h",
    start: str = "2020-01-06",
    seed: int = 0,
    events: Float32Array | None = None,
) -> Stretch:
    """Return a random walk of `count` candles."""
    rng = np.random.default_rng(seed)
    instrument = default_instruments()[symbol]
    stamps = future_timestamps(instrument, timeframe, np.datetime64(start), count)
    close = 1.1 * np.exp(np.cumsum(rng.normal(0, 0.001, count)))
    opens = np.concatenate([[1.1], close[:-1]])
    high, low = np.maximum(opens, close) * 1.0005, np.minimum(opens, close) * 0.9995
    volume = rng.lognormal(8, 0.3, count)
    candles = np.stack([opens, high, low, close, volume, volume * close], axis=1)
    return Stretch(instrument, timeframe, stamps, candles, "MIT", "made", events)


def flagged_stretch(count: int = 1400, **rows_of_channel: list[int]) -> Stretch:
    """Return a stretch whose event array is 1 in the given rows of a channel, such as ``c9=[580, 820]``."""
    events = np.zeros((count, 20), np.float32)
    for channel, rows in rows_of_channel.items():
        events[rows, int(channel.removeprefix("c"))] = 1
    return stretch(count, events=events)


def write_folder(folder: Path) -> None:
    """Write a generated market as files of a training, with segments that permit two symbols."""
    market = generate_market(days=90, hours=1000)
    for name, frame in (("candles_1h", market.candles_1h), ("economic_calendar", market.calendar)):
        frame.write_parquet(folder / f"{name}.parquet")
    times = market.candles_1h["ts" if "ts" in market.candles_1h.columns else "timestamp"]
    pl.DataFrame(
        {
            "symbol": ["GBPUSD", "BTC-USD", "EURUSD"],
            "timeframe": ["1h"] * 3,
            "start": [times.min()] * 3,
            "end": [times.max()] * 3,
            "licence": ["Apache-2.0", "MIT per README", "none stated"],
            "volume_unit": ["ticks", "coin", "ticks"],
            "repo": ["a/b", "c/d", "e/f"],
        }
    ).with_columns(pl.col("start", "end").dt.strftime("%Y-%m-%dT%H:%M:%SZ")).write_csv(
        folder / "segments.csv"
    )
