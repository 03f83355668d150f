"""The candles that an event array is requested for."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from market.instruments import Instrument
from market.types import DatetimeArray

Grid = tuple[str, str, bytes, bytes, np.datetime64]
"""Calendar, timeframe, timestamps, future timestamps and `as_of` of a request."""


@dataclass(frozen=True)
class EventRequest:
    """The candles of one symbol's event array.

    Attributes
    ----------
    symbol, instrument, timeframe
        Of the candles; the timeframe is one of `market.timeframes.TIMEFRAMES`.
    timestamps : (T,) datetime64
        Of the candles used, as stored, UTC, increasing.
    future_timestamps : (pred_len,) datetime64
        Of the prediction window; empty for an array of the history alone.
    as_of
        Instant of the forecast, UTC: every candle must have closed by then. The point in time of the array is
        the close of the last candle, even where `as_of` is later.
    """

    symbol: str
    instrument: Instrument
    timeframe: str
    timestamps: DatetimeArray
    future_timestamps: DatetimeArray
    as_of: np.datetime64

    @cached_property
    def grid(self) -> Grid:
        """A key that is equal for requests whose candles open and close at the same times."""
        past, future = (
            stamps.astype("datetime64[us]", copy=False).tobytes()
            for stamps in (self.timestamps, self.future_timestamps)
        )
        return self.instrument.calendar, self.timeframe, past, future, self.as_of
