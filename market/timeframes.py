"""Defines the timeframes of candles: their durations and the tables that store them."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final, Literal, get_args

import numpy as np

Timeframe = Literal["1h", "1d"]
TIMEFRAMES: Final[tuple[str, ...]] = get_args(Timeframe)
CANDLE_DURATION: Final[Mapping[str, timedelta]] = {"1h": timedelta(hours=1), "1d": timedelta(days=1)}
CANDLE_LENGTH: Final[Mapping[str, np.timedelta64]] = {
    timeframe: np.timedelta64(duration, "us") for timeframe, duration in CANDLE_DURATION.items()
}
CANDLE_TABLE: Final[Mapping[str, str]] = {"1h": "ohlcv_1h", "1d": "ohlcv_1d"}
