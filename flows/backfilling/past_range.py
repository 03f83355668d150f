"""The range of the past that a backfill is for, and the reasons to refuse one."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from market.timeframes import CANDLE_DURATION, Timeframe
from market.times import instant as as_instant
from market.times import minute_text

SLICE_CANDLES: Final = 168
"""Candles of a symbol that are forecast from at once: an hourly week."""


@dataclass(frozen=True)
class TimeSlice:
    """A part of a range: the instants later than `after`, up to `until`; both aware."""

    after: datetime
    until: datetime


@dataclass(frozen=True)
class PastRange:
    """The instants of the forecasts, which are the closes of candles.

    Attributes
    ----------
    start, end
        The first and the last instant, both included; aware.
    every
        Candle durations for which a symbol has one forecast; 1 for a forecast from every candle.
    """

    timeframe: Timeframe
    start: datetime
    end: datetime
    every: int

    @property
    def step(self) -> timedelta:
        """The time for which a symbol has one forecast, where it has not one from every candle."""
        return CANDLE_DURATION[self.timeframe] * self.every

    def slices(self) -> Iterator[TimeSlice]:
        """Yield the parts of the range, oldest first; each holds whole steps counted from the start."""
        length = self.step * max(1, SLICE_CANDLES // self.every)
        after, until = self.start - timedelta(microseconds=1), self.start
        while after < self.end:
            until += length
            yield TimeSlice(after, min(until, self.end))
            after = until


def checked_range(
    timeframe: Timeframe, start: datetime, end: datetime, every: int, now: datetime
) -> PastRange:
    """Return a range, which has to lie in the past.

    Parameters
    ----------
    start, end, now
        Aware instants.

    Raises
    ------
    ValueError
        The range ends before it starts or reaches into the future, or `every` is not above 0.
    """
    if every < 1:
        raise ValueError(f"every is {every}; expected a whole number of candles from 1 on")
    if start > end:
        raise ValueError(
            f"start {_minute(start)} is later than end {_minute(end)}; expected a start before the end "
            "(a time without a zone is UTC)"
        )
    if end > now:
        raise ValueError(
            f"end {_minute(end)} lies in the future; expected at most the current time, {_minute(now)} (a "
            "time without a zone is UTC). The flow predict-batch makes the forecasts of now"
        )
    return PastRange(timeframe, start, end, every)


def check_history(past: PastRange, first_candle: datetime | None) -> None:
    """Refuse a range that starts before the candles do.

    Parameters
    ----------
    first_candle
        Timestamp of the first candle of any symbol; None where no symbol has one.

    Raises
    ------
    ValueError
        There is no candle, or the first one is later than the start.
    """
    if first_candle is None:
        raise ValueError(
            f"no symbol has {past.timeframe} candles; load some with python -m flows.load candles FILE"
        )
    if past.start < first_candle:
        raise ValueError(
            f"start {_minute(past.start)} is before the first {past.timeframe} candle of any symbol, "
            f"{_minute(first_candle)}; expected a later start, or load the candles before it"
        )


def _minute(moment: datetime) -> str:
    return minute_text(as_instant(moment))
