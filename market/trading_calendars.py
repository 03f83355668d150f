"""Builds trading calendars by name: the days on which an instrument trades, and the hours within them."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, cached_property
from typing import Final
from zoneinfo import ZoneInfo

import exchange_calendars
import numpy as np

from market.times import instants
from market.types import BoolArray, DatetimeArray, Int64Array

HOUR: Final = np.timedelta64(3600, "s").astype("timedelta64[us]")
_FIRST_DAY: Final = date(1990, 1, 1)
_YEARS_AHEAD: Final = 3  # two are promised, and a process may run for months on the table that it built
_NEW_YORK: Final = ZoneInfo("America/New_York")
_FX_HOLIDAYS: Final = ((12, 25), (1, 1))
_FUTURES: Final = "CMES"  # the exchange that trades for half a day on New York's holidays
_EARLY_CLOSE: Final = time(13)  # in New York, of futures on such a holiday
_HALF_DAY_CLOSE: Final = time(13, 15)  # in New York, of futures on a half day of New York's shares
_SHARES: Final = "XNYS"
_WHOLE_DAY_OF_SHARES: Final = np.timedelta64(390, "m")

UnknownCalendar = exchange_calendars.errors.InvalidCalendarName


@dataclass(frozen=True, eq=False)
class TradingCalendar:
    """Days and sessions of a calendar, with one row per calendar day from `first` on.

    Attributes
    ----------
    first
        datetime64[D].
    opens, closes
        (days,) datetime64[us]: bounds of the day's candle; those of the UTC day where there is no session.
    trading
        (days,) whether the day has a session.
    part_opens, part_closes
        (parts,) datetime64[us], increasing: bounds of the parts of sessions between breaks and pauses, within
        which there are intraday candles.
    anchor
        Time of day and zone from which intraday candles are counted, such as ``00:00 UTC``; None where each
        part is counted from its open.
    published
        datetime64[D]: the last day for which the exchange has published its holidays; later, every weekday
        counts as a session. None where holidays follow rules.
    """

    first: np.datetime64
    opens: DatetimeArray
    closes: DatetimeArray
    trading: BoolArray
    part_opens: DatetimeArray
    part_closes: DatetimeArray
    anchor: str | None = None
    published: np.datetime64 | None = None

    @property
    def end(self) -> np.datetime64:
        """The day after the last one."""
        return self.first + np.timedelta64(len(self.opens), "D")

    @cached_property
    def dates(self) -> DatetimeArray:
        """Session dates at 00:00, (sessions,)."""
        return (self.first + np.flatnonzero(self.trading)).astype("datetime64[us]")

    @cached_property
    def session_opens(self) -> DatetimeArray:
        """Opens of the days with a session, (sessions,)."""
        return self.opens[self.trading]

    @cached_property
    def session_closes(self) -> DatetimeArray:
        """Closes of the days with a session, (sessions,)."""
        return self.closes[self.trading]

    @cached_property
    def run_opens(self) -> DatetimeArray:
        """Opens of the parts before which there is a break or a night, (runs,)."""
        after_break = self.part_opens[1:] > self.part_closes[:-1]
        return np.asarray(self.part_opens[np.concatenate([[True], after_break])])

    @cached_property
    def run_closes(self) -> DatetimeArray:
        """Closes of the parts after which there is a break or a night, (runs,)."""
        before_break = self.part_opens[1:] > self.part_closes[:-1]
        return np.asarray(self.part_closes[np.concatenate([before_break, [True]])])

    @cached_property
    def next_session(self) -> Int64Array:
        """For each day the first one from it on with a session, (days,); the number of days if none is."""
        days = np.where(self.trading, np.arange(len(self.trading)), len(self.trading))
        return np.asarray(np.minimum.accumulate(days[::-1])[::-1])

    @cached_property
    def last_session(self) -> Int64Array:
        """For each day the last one up to it with a session, (days,); −1 before the first."""
        return np.asarray(np.maximum.accumulate(np.where(self.trading, np.arange(len(self.trading)), -1)))


@cache
def trading_calendar(name: str) -> TradingCalendar:
    """Return a calendar by its name; `market.time_grid` describes the names.

    Raises
    ------
    UnknownCalendar
        There is no calendar of that name.
    """
    if name == "24/7":
        midnights = _days().astype("datetime64[us]")
        ends = midnights + 24 * HOUR
        everyday = np.ones(len(midnights), dtype=np.bool_)
        return TradingCalendar(_days()[0], midnights, ends, everyday, midnights, ends, anchor="00:00 UTC")
    if name in ("FX", "METAL"):
        return _new_york_days(_fx_weekdays(), pause=name == "METAL")
    if name.startswith("FX:"):
        trading = _on_days(trading_calendar(name.removeprefix("FX:")))
        futures = _on_days(trading_calendar(_FUTURES))
        return _new_york_days(trading, pause=True, short=futures & ~trading & _fx_weekdays())
    return _exchange(name)


@cache
def _days() -> DatetimeArray:
    """Every day that the calendars cover, datetime64[D]."""
    return _day_range(_FIRST_DAY, _last_day())


def _day_range(first: date, end: date) -> DatetimeArray:
    return np.arange(str(first), str(end), dtype="datetime64[D]")


@cache
def _last_day() -> date:
    return datetime.now(UTC).date() + timedelta(days=366 * _YEARS_AHEAD)


def _on_days(calendar: TradingCalendar) -> BoolArray:
    """Return whether a calendar has a session, for each of `_days`."""
    trading = np.zeros(len(_days()), dtype=np.bool_)
    offset = int((calendar.first - _days()[0]).astype(np.int64))
    trading[offset : offset + len(calendar.trading)] = calendar.trading
    return trading


def _fx_weekdays() -> BoolArray:
    days = _days()
    trading = np.asarray(np.is_busday(days))
    for month, day in _FX_HOLIDAYS:
        years = range(_FIRST_DAY.year, _last_day().year + 1)
        trading &= ~np.isin(days, np.array([date(year, month, day) for year in years], dtype="datetime64[D]"))
    return trading


def _new_york_days(trading: BoolArray, *, pause: bool, short: BoolArray | None = None) -> TradingCalendar:
    """Days that end at 17:00 New York on their date and begin at the same hour a day before.

    Parameters
    ----------
    pause
        Whether the first hour of each day has no candle.
    short
        Days without a session that have hours until the early close nevertheless.
    """
    days = _days()
    eves = [_FIRST_DAY - timedelta(days=1), *days.tolist()]
    edges = _utc(eves, time(17), _NEW_YORK)
    opens, closes = edges[:-1], edges[1:]
    hourly, ends = trading, closes
    if short is not None:
        hourly = trading | short
        ends = closes.copy()
        ends[short] = _utc(days[short].tolist(), _EARLY_CLOSE, _NEW_YORK)
    begins = opens + HOUR if pause else opens
    return TradingCalendar(
        days[0], opens, closes, trading, begins[hourly], ends[hourly], anchor=f"17:00 {_NEW_YORK.key}"
    )


def _utc(days: list[date], at: time, zone: ZoneInfo) -> DatetimeArray:
    """Return a local time of day on each date as datetime64[us] in UTC."""
    return instants(datetime.combine(day, at, zone) for day in days)


def _exchange(name: str) -> TradingCalendar:
    """Sessions of an exchange, weekdays after the last year whose holidays it has published.

    Days without a session are UTC days without trading.
    """
    known = type(exchange_calendars.get_calendar(name))
    bounds = known.bound_min(), known.bound_max()
    first = _FIRST_DAY if bounds[0] is None else max(_FIRST_DAY, bounds[0].date())
    last = _last_day() if bounds[1] is None else min(_last_day(), bounds[1].date())
    source = exchange_calendars.get_calendar(name, start=str(first), end=str(last))
    days = _day_range(first, _last_day())
    opens = days.astype("datetime64[us]")
    closes = opens + 24 * HOUR
    breaks, resumptions = (np.full(len(days), np.datetime64("NaT", "us")) for _ in range(2))
    trading = np.zeros(len(days), dtype=np.bool_)
    session = (source.sessions.values.astype("datetime64[D]") - days[0]).astype(np.int64)
    inside = session < len(days)
    columns = (opens, source.opens), (closes, source.closes)
    for column, times in (*columns, (breaks, source.break_starts), (resumptions, source.break_ends)):
        column[session[inside]] = times.values.astype("datetime64[us]")[inside]
    trading[session[inside]] = True
    published = np.datetime64(last, "D") if last < _last_day() else None
    if published is not None:
        ahead = np.asarray(np.is_busday(days, weekmask=source.weekmask)) & (days > published)
        trading |= ahead
        zone = ZoneInfo(source.tz.key)
        for column, local_times, offset in (
            (opens, source.open_times, source.open_offset),
            (closes, source.close_times, source.close_offset),
            (breaks, source.break_start_times, 0),
            (resumptions, source.break_end_times, 0),
        ):
            if local_times is not None:
                dates = (days[ahead] + np.timedelta64(offset, "D")).tolist()
                column[ahead] = _utc(dates, local_times[-1][1], zone)
    if known.name == _FUTURES:
        closes = _futures_closes(days, trading, closes)
    parts = _parts(opens[trading], closes[trading], breaks[trading], resumptions[trading])
    return TradingCalendar(days[0], opens, closes, trading, *parts, published=published)


def _futures_closes(days: DatetimeArray, trading: BoolArray, closes: DatetimeArray) -> DatetimeArray:
    """Return when sessions of futures close: at 16:00 Chicago, at noon on holidays of New York's shares.

    exchange_calendars lets each session end where the next one opens, at 17:00 Chicago, and knows no early
    close on Juneteenth. On half days of the shares, as after Thanksgiving, futures close at 12:15.

    Parameters
    ----------
    days, trading, closes : (days,)
        As exchange_calendars has them, from `_FIRST_DAY` on.
    """
    shares = trading_calendar(_SHARES)
    half = shares.trading & (shares.closes - shares.opens < _WHOLE_DAY_OF_SHARES)
    early = ((trading & ~shares.trading, _EARLY_CLOSE), (trading & half, _HALF_DAY_CLOSE))
    found = np.where(trading, closes - HOUR, closes)
    for which, at in early:
        found[which] = _utc(days[which].tolist(), at, _NEW_YORK)
    return found


def _parts(
    opens: DatetimeArray, closes: DatetimeArray, breaks: DatetimeArray, resumptions: DatetimeArray
) -> tuple[DatetimeArray, DatetimeArray]:
    """Return the opens and closes of the parts of sessions, some of which have a break (else NaT)."""
    broken = ~np.isnat(breaks)
    part_opens = np.concatenate([opens, resumptions[broken]])
    part_closes = np.concatenate([np.where(broken, breaks, closes), closes[broken]])
    order = np.argsort(part_opens)
    return part_opens[order], part_closes[order]
