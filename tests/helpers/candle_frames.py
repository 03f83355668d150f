"""Candles of a random walk as the columns of a frame."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from inference_server.frames import read_candles
from inference_server.schemas import Candles, ForecastSettings

HOURS = 60
START = datetime(2026, 1, 5)
NEW_YORK = ZoneInfo("America/New_York")


def columns(count: int = HOURS, seed: int = 0, start: datetime = START) -> dict[str, Any]:
    draws = np.random.default_rng(seed)
    close = 100 + draws.normal(size=count).cumsum()
    return {
        "timestamp": [start + timedelta(hours=hour) for hour in range(count)],
        "open": close - 0.1,
        "high": close + 1,
        "low": close - 1,
        "close": close,
        "volume": draws.uniform(1, 2, count),
    }


def read(frame: Any, symbol: str | None = "A", **settings: Any) -> dict[str, Candles]:
    return read_candles(frame, symbol, ForecastSettings(**settings)).candles
