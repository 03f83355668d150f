"""Builds the warnings about the candles of a forecast; the forecast is made all the same."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from market.candle_checks import impossible, nonpositive
from market.feed_grid import FeedGrid, feed_grid
from market.instruments import Instrument
from market.spacing import other_spacing, spacing_text
from market.splits import Split, find_splits
from market.time_grid import TimeGridError, closed_by, published_until
from market.timeframes import CANDLE_LENGTH, INTRADAY
from market.times import minute_text
from market.types import BoolArray, DatetimeArray, Float64Array
from market.warning_codes import WarningCode, warning

_DATED: Final = {"1d": "daily", "1w": "weekly"}
_DAY: Final = np.timedelta64(86_400_000_000, "us")

LONGEST_GAP: Final = {
    **{timeframe: int(_DAY / CANDLE_LENGTH[timeframe]) for timeframe in INTRADAY}, "1d": 5, "1w": 2,
}  # fmt: skip
"""Candles in a row that may be missing: a day of a market around the clock, a week of an exchange.

Where more are missing, the feed has a hole, and the flows use the candles after it; or the feed has stopped,
and the flows leave the symbol out. Holidays that a calendar lacks are shorter: at most 23 hours (metals on
Good Friday) and 4 days (September 2001)."""

_NOTABLE_SHARE: Final = 0.1
_CHRISTMAS_EVE: Final = np.timedelta64(13, "h")  # by which FX closes early
_NOTABLE_JUMP: Final = {
    **{timeframe: math.ceil(_CHRISTMAS_EVE / CANDLE_LENGTH[timeframe]) for timeframe in INTRADAY},
    "1d": 1,
    "1w": 1,
}

_LONGEST_HOLIDAY: Final = 12 * _DAY  # the Chinese New Year and the weekends around it


@dataclass(frozen=True)
class UsedCandles:
    """The candles of one forecast, and the timestamps of the candles forecast.

    Attributes
    ----------
    features : (T, 6)
        In the order of `market.candles.FEATURES`; NaN where volume or amount is unknown.
    timestamps, future : (T,), (pred_len,)
        datetime64[us] UTC.
    instrument
        None for a symbol that is not registered.
    allow_nonpositive
        Whether the request says that prices may be zero or below, as the instrument may say too.
    """

    symbol: str
    timeframe: str
    features: Float64Array
    timestamps: DatetimeArray
    future: DatetimeArray
    instrument: Instrument | None
    allow_nonpositive: bool = False

    @property
    def can_be_nonpositive(self) -> bool:
        """Whether prices may be zero or below."""
        return self.allow_nonpositive or (self.instrument is not None and self.instrument.allow_nonpositive)


def candle_warnings(used: UsedCandles, stored_until: np.datetime64 | None = None) -> list[str]:
    """Return a warning for each unusual property of candles.

    Parameters
    ----------
    stored_until
        The instant up to which stored candles were read; None for candles from the request.
    """
    return [warning(code, sentence) for code, sentence in _warnings(used, stored_until)]


def candles_behind(
    instrument: Instrument, grid: FeedGrid, last: np.datetime64, instant: np.datetime64
) -> int:
    """Return how many candles after the one stamped `last` had closed by an instant."""
    return int(closed_by(instrument, grid.timeframe, grid.between(last, instant), instant).sum())


def split_words(timestamps: DatetimeArray, split: Split) -> str:
    """Return a sentence that says when a step that looks like a split was, and what to do."""
    return (
        f"the step from {minute_text(timestamps[split.row - 1])} to {minute_text(timestamps[split.row])} "
        f"looks like a {split.ratio} split that the candles before are not adjusted for: load the adjusted "
        "history again"
    )


_Warnings = Iterator[tuple[WarningCode, str]]


def _warnings(used: UsedCandles, stored_until: np.datetime64 | None) -> _Warnings:
    yield from _value_warnings(used)
    spacing = other_spacing(used.timestamps, used.timeframe)
    if spacing is not None:
        yield (
            WarningCode.TIMEFRAME_NOT_USED,
            f"the candles are {spacing_text(spacing)} apart, timeframe {used.timeframe} was not used: they "
            "and future_timestamps are taken as they are",
        )
        yield from _hole_warnings_without_calendar(used, spacing)
        return
    yield from _stamp_warnings(used)
    if used.instrument is None:
        yield from _hole_warnings_without_calendar(used, CANDLE_LENGTH[used.timeframe])
        return
    try:
        grid = feed_grid(used.instrument, used.timeframe, used.timestamps)
        yield from _hole_warnings(used, grid)
        if stored_until is not None:
            yield from _age_warnings(used, used.instrument, grid, stored_until)
        yield from _holiday_warnings(used, used.instrument)
    except TimeGridError:  # times that the calendar does not cover: code that needs it raises this itself
        return


def _value_warnings(used: UsedCandles) -> _Warnings:
    """Prices of zero or below, contradictions, unknown volume, splits."""
    too_low = nonpositive(used.features)
    if too_low.any() and not used.can_be_nonpositive:
        yield (
            WarningCode.NONPOSITIVE_PRICES,
            f"a price is zero or below in {_which(used, too_low)}: correct it, or set allow_nonpositive in "
            "the table instruments if this symbol can have such prices",
        )
    for fault, rows in impossible(used.features).items():
        yield WarningCode.IMPOSSIBLE_CANDLES, f"{fault} in {_which(used, rows)}"
    volume, amount = (np.isnan(used.features[:, column]) for column in (4, 5))
    if volume.any() and not volume.all():
        yield (
            WarningCode.VOLUME_UNKNOWN,
            f"volume of {_which(used, volume)} is unknown: forecast without volume and amount",
        )
    elif not volume.any() and amount.any() and not amount.all():
        yield (
            WarningCode.VOLUME_UNKNOWN,
            f"amount of {_which(used, amount)} is unknown: forecast with volume × mean price as amount",
        )
    for split in find_splits(used.timestamps, used.features):
        yield WarningCode.SPLIT, split_words(used.timestamps, split)


def _stamp_warnings(used: UsedCandles) -> _Warnings:
    """Daily candles stamped within a day, and future timestamps closer together than the candles."""
    if used.timeframe not in INTRADAY and (used.timestamps.astype("datetime64[D]") != used.timestamps).any():
        yield (
            WarningCode.DAILY_STAMPS,
            f"{_DATED[used.timeframe]} candles are stamped within the day, the last at "
            f"{minute_text(used.timestamps[-1])}, and taken for the session of that UTC date: stamp them "
            "with the session date at 00:00 UTC",
        )
    future_spacing = other_spacing(used.future, used.timeframe)
    if future_spacing is not None:
        yield (
            WarningCode.FUTURE_SPACING,
            f"future_timestamps are {spacing_text(future_spacing)} apart, the candles are of "
            f"{used.timeframe}: the model generates {used.timeframe} candles all the same",
        )


def _hole_warnings(used: UsedCandles, grid: FeedGrid) -> _Warnings:
    """Candles of the grid that are missing in the window, or between it and the future."""
    missing = grid.missing(used.timestamps)
    if missing.any() and (
        grid.instrument.calendar == "24/7"  # without holidays, every missing candle is a hole
        or missing.max() > LONGEST_GAP[used.timeframe]
        or missing.mean() > _NOTABLE_SHARE
    ):
        row = int(missing.argmax())
        yield (
            WarningCode.MISSING_CANDLES,
            f"{missing.sum()} {used.timeframe} candles are missing among the {len(used.timestamps)} used, "
            f"most of them, {missing[row]} in a row, after {minute_text(used.timestamps[row])}",
        )
    jump = int(grid.missing(np.array([used.timestamps[-1], used.future[0]]))[0])
    if jump > _NOTABLE_JUMP[used.timeframe]:
        yield (
            WarningCode.JUMP_TO_FUTURE,
            f"{jump} {used.timeframe} candles lie between the last one used "
            f"({minute_text(used.timestamps[-1])}) and the first future one ({minute_text(used.future[0])}): "
            "the model goes on as if there were none",
        )


def _hole_warnings_without_calendar(used: UsedCandles, spacing: np.timedelta64) -> _Warnings:
    """Steps in time longer than any holiday and than ten candles, where no calendar is known."""
    longest = max(_LONGEST_HOLIDAY, 10 * spacing)
    steps = np.diff(used.timestamps)
    if steps.size and steps.max() > longest:
        row = int(steps.argmax())
        yield (
            WarningCode.MISSING_CANDLES,
            f"no candle follows the one of {minute_text(used.timestamps[row])} for {_days(steps[row])}",
        )
    jump = used.future[0] - used.timestamps[-1]
    if jump > longest:
        yield (
            WarningCode.JUMP_TO_FUTURE,
            f"the first future timestamp ({minute_text(used.future[0])}) is {_days(jump)} after the last "
            f"candle used ({minute_text(used.timestamps[-1])}): the model goes on as if it were the next "
            "candle",
        )


def _age_warnings(
    used: UsedCandles, instrument: Instrument, grid: FeedGrid, until: np.datetime64
) -> _Warnings:
    behind = candles_behind(instrument, grid, used.timestamps[-1], until)
    if behind > LONGEST_GAP[used.timeframe]:
        yield (
            WarningCode.STALE_CANDLES,
            f"the newest candle is of {minute_text(used.timestamps[-1])}, and {behind} later ones had closed "
            f"by {minute_text(until)}: the forecast begins where the candles end",
        )


def _holiday_warnings(used: UsedCandles, instrument: Instrument) -> _Warnings:
    published = published_until(instrument)
    if published is not None and used.future[-1].astype("datetime64[D]") > published:
        yield (
            WarningCode.HOLIDAYS_UNPUBLISHED,
            f"the holidays of {instrument.calendar} are known until {published}: every weekday after it "
            "counts as a session; a newer exchange_calendars may know more",
        )


def _which(used: UsedCandles, rows: BoolArray) -> str:
    first = minute_text(used.timestamps[int(np.argmax(rows))])
    return f"{rows.sum()} of {len(rows)} candles (the first at {first})"


def _days(span: np.timedelta64) -> str:
    return f"{span / _DAY:.1f} days"
