"""Grids of every timeframe on every calendar that the packaged instruments name."""

import exchange_calendars
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.calendar_grids import AnchorError, parse_anchor
from market.feed_grid import feed_grid
from market.instruments import Instrument, default_instruments
from market.time_grid import (
    TimeGridError,
    calendar_of,
    candle_bounds,
    closed_by,
    future_timestamps,
    instrument_grid,
    past_timestamps,
)
from market.timeframes import CANDLE_LENGTH, INTRADAY, TIMEFRAMES
from market.types import DatetimeArray

CALENDARS = sorted(
    {instrument.calendar for instrument in default_instruments().values()} | {"XLON", "XASX", "CMES"}
)
DAY = np.timedelta64(1, "D")


def instrument(calendar: str, anchor: str | None = None) -> Instrument:
    return Instrument("X", "equity", calendar, anchor=anchor)


def walked(calendar: str, timeframe: str, first: str, last: str) -> DatetimeArray:
    """Timestamps from one instant to another, by single steps into the future."""
    stamp, end = np.datetime64(first, "us"), np.datetime64(last, "us")
    found = []
    while (stamp := future_timestamps(instrument(calendar), timeframe, stamp, 1)[0]) <= end:
        found.append(stamp)
    return np.array(found)


@settings(deadline=None, max_examples=150)  # the first example of each calendar builds its table
@given(
    calendar=st.sampled_from(CALENDARS),
    timeframe=st.sampled_from(TIMEFRAMES),
    minute=st.integers(0, 27 * 365 * 24 * 60),
    count=st.integers(1, 300),
)
def test_the_future_is_the_grid_of_the_past_within_sessions(
    calendar: str, timeframe: str, minute: int, count: int
) -> None:
    traded = instrument(calendar)
    last = np.datetime64("1999-01-01T00:00", "us") + np.timedelta64(minute, "m")
    future = future_timestamps(traded, timeframe, last, count)
    assert future[0] > last
    assert past_timestamps(traded, timeframe, future[0], 1)[0] <= last
    np.testing.assert_array_equal(past_timestamps(traded, timeframe, future[-1], count - 1), future[:-1])
    # The candles are consecutive on the grid that a feed's candles are compared with.
    grid = feed_grid(traded, timeframe, future)
    assert not grid.own
    assert grid.missing(future).sum() == 0
    np.testing.assert_array_equal(grid.between(last, future[-1]), future)
    opens, closes = candle_bounds(traded, timeframe, future)
    assert np.all(closes > opens)
    assert np.all(opens[1:] >= closes[:-1])
    assert np.all(closes - opens <= CANDLE_LENGTH[timeframe])
    if timeframe in INTRADAY:
        table = calendar_of(traded, timeframe)
        # Each candle trades within one run of a session: it closes in it, and opens after the run before.
        run = np.searchsorted(table.run_closes, closes, side="left")
        assert np.all(table.run_opens[run] < closes)
        assert np.all(opens >= np.concatenate([[opens[0]], table.run_closes])[run])


@pytest.mark.parametrize("calendar", ["XNYS", "XSHG", "XHKG", "XTKS", "XLON", "XASX", "XCBF"])
def test_candles_cover_the_sessions_of_an_exchange_and_nothing_else(calendar: str) -> None:
    """A leap year with half days, and both changes of clocks."""
    year = exchange_calendars.get_calendar(calendar, start="2024-01-02", end="2024-12-31").schedule
    pauses = (year["break_end"] - year["break_start"]).sum()
    traded = np.timedelta64((year["close"] - year["open"]).sum() - pauses, "us")
    first = np.datetime64(year["open"].iloc[0].tz_localize(None), "us")
    last = np.datetime64(year["close"].iloc[-1].tz_localize(None), "us")
    for timeframe in sorted(INTRADAY):
        opens = instrument_grid(instrument(calendar), timeframe).between(first, last)
        _, closes = candle_bounds(instrument(calendar), timeframe, opens)
        assert np.all(opens[1:] >= closes[:-1])
        assert (closes - opens).sum() == traded, timeframe


@pytest.mark.parametrize("timeframe", ["5m", "30m", "2h", "4h", "1w"])
@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2024-02-28", "2024-03-02"),  # a leap day
        ("2025-03-07", "2025-03-11"),  # the clocks go forward in New York
        ("2025-03-28", "2025-04-01"),  # and in London
        ("2025-10-24", "2025-10-28"),  # back in London
        ("2025-10-31", "2025-11-04"),  # and in New York
        ("2025-11-26", "2025-12-01"),  # a half day in New York and Chicago
        ("2025-12-23", "2025-12-29"),  # and in London and Hong Kong
    ],
)
def test_steps_give_what_the_grid_of_the_past_has(timeframe: str, first: str, last: str) -> None:
    start, end = np.datetime64(first, "us"), np.datetime64(last, "us")
    count = int(6 * DAY / CANDLE_LENGTH[timeframe]) + 1
    for calendar in CALENDARS:
        forward = future_timestamps(instrument(calendar), timeframe, start, count)
        back = past_timestamps(instrument(calendar), timeframe, end + np.timedelta64(1, "us"), count)
        between = forward[forward <= end]
        np.testing.assert_array_equal(back[back > start], between)
        grid = instrument_grid(instrument(calendar), timeframe)
        np.testing.assert_array_equal(grid.between(start + np.timedelta64(1, "us"), end), between)
        if timeframe == "4h":
            np.testing.assert_array_equal(walked(calendar, timeframe, first, last), between)


@pytest.mark.parametrize(
    ("calendar", "timeframe", "last", "expected"),
    [
        ("24/7", "4h", "2024-02-29T20:00", ["2024-03-01T00:00/04:00", "2024-03-01T04:00/08:00"]),
        ("24/7", "1w", "2024-02-27", ["2024-03-04T00:00/00:00"]),
        # From 17:00 New York, in summer and in winter; the week ends there on Friday.
        ("FX", "4h", "2024-06-13T17:00", ["2024-06-13T21:00/01:00", "2024-06-14T01:00/05:00"]),
        ("FX", "4h", "2024-06-14T13:00", ["2024-06-14T17:00/21:00", "2024-06-16T21:00/01:00"]),
        ("FX", "4h", "2024-12-13T14:00", ["2024-12-13T18:00/22:00", "2024-12-15T22:00/02:00"]),
        # Both sides of the change of clocks in New York; that of London changes nothing.
        ("FX", "4h", "2024-03-08T14:00", ["2024-03-08T18:00/22:00", "2024-03-10T21:00/01:00"]),
        ("FX", "4h", "2024-11-01T13:00", ["2024-11-01T17:00/21:00", "2024-11-03T22:00/02:00"]),
        ("FX", "2h", "2024-03-29T19:00", ["2024-03-31T21:00/23:00"]),
        ("FX", "1w", "2024-06-03", ["2024-06-10T00:00/21:00"]),
        # Metals pause until 18:00: the first candle of the day trades for three hours.
        ("METAL", "4h", "2024-06-13T17:00", ["2024-06-13T21:00/01:00"]),
        ("METAL", "1h", "2024-06-13T20:00", ["2024-06-13T22:00/23:00"]),
        ("METAL", "30m", "2024-06-13T20:30", ["2024-06-13T22:00/22:30"]),
        # A share: not over the night, and a short last candle.
        ("XNYS", "4h", "2024-06-13T13:30", ["2024-06-13T17:30/20:00", "2024-06-14T13:30/17:30"]),
        ("XNYS", "2h", "2024-06-13T17:30", ["2024-06-13T19:30/20:00"]),
        ("XNYS", "1h", "2024-06-13T18:30", ["2024-06-13T19:30/20:00"]),
        # A half day (until 13:00 New York).
        ("XNYS", "2h", "2024-11-29T14:30", ["2024-11-29T16:30/18:00", "2024-12-02T14:30/16:30"]),
        ("XNYS", "30m", "2024-11-29T17:00", ["2024-11-29T17:30/18:00", "2024-12-02T14:30/15:00"]),
        ("XNYS", "5m", "2024-11-29T17:50", ["2024-11-29T17:55/18:00", "2024-12-02T14:30/14:35"]),
        # A week whose Monday is a holiday, and one whose Friday is.
        ("XNYS", "1w", "2024-05-20", ["2024-05-27T00:00/20:00"]),
        ("XNYS", "1w", "2024-03-18", ["2024-03-25T00:00/20:00"]),
        # Lunch breaks.
        ("XSHG", "4h", "2024-06-13T00:00", ["2024-06-13T01:30/03:30", "2024-06-13T05:00/07:00"]),
        ("XSHG", "1m", "2024-06-13T03:28", ["2024-06-13T03:29/03:30", "2024-06-13T05:00/05:01"]),
        ("XHKG", "2h", "2024-06-13T01:30", ["2024-06-13T03:30/04:00", "2024-06-13T05:00/07:00"]),
        ("XTKS", "2h", "2024-06-13T00:00", ["2024-06-13T02:00/02:30", "2024-06-13T03:30/05:30"]),
        # Futures: sessions from 17:00 to 16:00 Chicago, and until noon on Juneteenth.
        ("CMES", "1h", "2026-06-17T19:00", ["2026-06-17T20:00/21:00", "2026-06-17T22:00/23:00"]),
        ("CMES", "1m", "2026-06-17T20:58", ["2026-06-17T20:59/21:00", "2026-06-17T22:00/22:01"]),
        ("CMES", "4h", "2026-06-18T14:00", ["2026-06-18T18:00/21:00", "2026-06-18T22:00/02:00"]),
        ("CMES", "4h", "2026-06-19T10:00", ["2026-06-19T14:00/17:00", "2026-06-21T22:00/02:00"]),
        ("CMES", "1d", "2026-06-18", ["2026-06-19T00:00/17:00", "2026-06-22T00:00/21:00"]),
        ("CMES", "1w", "2026-06-08", ["2026-06-15T00:00/17:00", "2026-06-22T00:00/21:00"]),
        # The weeks around the change of clocks, a holiday, and the half day after Thanksgiving.
        ("CMES", "4h", "2026-03-06T15:00", ["2026-03-06T19:00/22:00", "2026-03-08T22:00/02:00"]),
        ("CMES", "2h", "2026-10-30T18:00", ["2026-10-30T20:00/21:00", "2026-11-01T23:00/01:00"]),
        ("CMES", "1d", "2026-01-16", ["2026-01-19T00:00/18:00", "2026-01-20T00:00/22:00"]),
        ("CMES", "30m", "2026-11-27T17:30", ["2026-11-27T18:00/18:15", "2026-11-29T23:00/23:30"]),
        # Sydney's summer: a session opens on the UTC date before its own. Its Monday is a holiday.
        ("XASX", "1h", "2026-01-23T04:00", ["2026-01-26T23:00/00:00", "2026-01-27T00:00/01:00"]),
        ("XASX", "1d", "2026-01-23", ["2026-01-27T00:00/05:00"]),
        ("XASX", "1w", "2026-01-19", ["2026-01-26T00:00/05:00"]),
        ("XLON", "4h", "2024-06-13T07:00", ["2024-06-13T11:00/15:00", "2024-06-13T15:00/15:30"]),
    ],
)
def test_candles_of_a_calendar(calendar: str, timeframe: str, last: str, expected: list[str]) -> None:
    traded = instrument(calendar)
    future = future_timestamps(traded, timeframe, np.datetime64(last), len(expected))
    _, closes = candle_bounds(traded, timeframe, future)
    assert [f"{str(a)[:16]}/{str(b)[11:16]}" for a, b in zip(future, closes, strict=True)] == expected


@pytest.mark.parametrize(
    ("calendar", "timeframe", "stamp", "opens", "closes"),
    [
        ("CMES", "1d", "2026-06-22", "2026-06-21T22:00", "2026-06-22T21:00"),
        ("CMES", "1w", "2026-06-15", "2026-06-14T22:00", "2026-06-19T17:00"),
        ("XASX", "1d", "2026-01-27", "2026-01-26T23:00", "2026-01-27T05:00"),
        ("XASX", "1w", "2026-01-26", "2026-01-26T23:00", "2026-01-30T05:00"),
        ("XTKS", "1d", "2026-01-13", "2026-01-13T00:00", "2026-01-13T06:30"),
        ("XTKS", "1w", "2026-01-12", "2026-01-13T00:00", "2026-01-16T06:30"),
    ],
)
def test_days_and_weeks_of_sessions_at_midnight_in_utc(
    calendar: str, timeframe: str, stamp: str, opens: str, closes: str
) -> None:
    bounds = candle_bounds(instrument(calendar), timeframe, np.array([stamp], "datetime64[us]"))
    assert [str(edge[0])[:16] for edge in bounds] == [opens, closes]


def test_a_week_ends_with_its_last_session() -> None:
    share = instrument("XNYS")
    opens, closes = candle_bounds(share, "1w", np.array(["2024-05-27", "2024-03-25"], "datetime64[us]"))
    assert [str(edge)[:16] for edge in (*opens, *closes)] == [
        "2024-05-28T13:30", "2024-03-25T13:30", "2024-05-31T20:00", "2024-03-28T20:00",
    ]  # fmt: skip
    friday = np.datetime64("2024-03-28T19:59", "us")
    week = np.array(["2024-03-25"], "datetime64[us]")
    assert not closed_by(share, "1w", week, friday)[0]
    assert closed_by(share, "1w", week, friday + np.timedelta64(1, "m"))[0]


@pytest.mark.parametrize("day", ["2024-06-09", "2024-06-14", "2024-06-12"])
def test_a_week_with_another_stamp_does_not_count_as_closed_early(day: str) -> None:
    """A week from Sunday, one that is stamped with its end, and one that begins on some day."""
    stamp = np.array([day], "datetime64[us]")
    _, closes = candle_bounds(instrument("XNYS"), "1w", stamp)
    assert closes[0] > stamp[0] + 4 * DAY


def test_weeks_that_a_feed_stamps_on_sundays_go_on_there() -> None:
    sundays = np.arange("2024-01-07", "2024-06-01", 7, dtype="datetime64[D]").astype("datetime64[us]")
    grid = feed_grid(instrument("FX"), "1w", sundays)
    assert grid.own
    assert grid.missing(sundays).sum() == 0
    np.testing.assert_array_equal(grid.after(sundays[-1], 3), sundays[-1] + np.array([7, 14, 21]) * DAY)


@pytest.mark.parametrize("timeframe", ["1m", "5m", "15m", "30m", "2h", "4h"])
@pytest.mark.parametrize("calendar", ["24/7", "FX"])
def test_candles_of_a_feed_beside_the_grid_go_on_there(calendar: str, timeframe: str) -> None:
    length = CANDLE_LENGTH[timeframe]
    first = np.datetime64("2024-06-03T22:00", "us") + length // 3
    stamps = first + np.arange(60) * length
    stamps = stamps[stamps < np.datetime64("2024-06-06")]
    grid = feed_grid(instrument(calendar), timeframe, stamps)
    assert grid.own
    np.testing.assert_array_equal(grid.after(stamps[-1], 5), stamps[-1] + np.arange(1, 6) * length)


@pytest.mark.parametrize(
    ("calendar", "anchor", "last", "expected"),
    [
        ("FX", "00:00 UTC", "2024-06-13T20:00", ["2024-06-14T00:00/04:00", "2024-06-14T04:00/08:00"]),
        # The part of the candle after the week's open.
        ("FX", "00:00 UTC", "2024-06-14T16:00", ["2024-06-14T20:00/21:00", "2024-06-16T20:00/00:00"]),
        ("24/7", "17:00 America/New_York", "2024-06-13T17:00", ["2024-06-13T21:00/01:00"]),
        # An hour less where the clocks go forward, an hour more where they go back.
        ("24/7", "17:00 America/New_York", "2024-03-10T14:00", ["2024-03-10T18:00/21:00"]),
        ("24/7", "17:00 America/New_York", "2024-11-03T17:00", ["2024-11-03T21:00/22:00"]),
        # A candle that would hold the end of one day of metals and the beginning of the next.
        ("METAL", "00:00 UTC", "2024-06-13T19:00", ["2024-06-13T20:00/21:00", "2024-06-13T22:00/00:00"]),
        ("XNYS", "00:00 America/New_York", "2024-06-13T08:00", ["2024-06-13T12:00/16:00"]),
    ],
)
def test_an_anchor_is_where_candles_are_counted_from(
    calendar: str, anchor: str, last: str, expected: list[str]
) -> None:
    traded = instrument(calendar, anchor)
    future = future_timestamps(traded, "4h", np.datetime64(last), len(expected))
    _, closes = candle_bounds(traded, "4h", future)
    assert [f"{str(a)[:16]}/{str(b)[11:16]}" for a, b in zip(future, closes, strict=True)] == expected


@pytest.mark.parametrize("text", ["", "17:00", "25:00 UTC", "17:00 Mars/Olympus", "17:00  UTC", "5pm UTC"])
def test_another_anchor_is_refused(text: str) -> None:
    with pytest.raises(AnchorError, match=r"no time of day with a time zone; expected one such as 00:00 UTC"):
        parse_anchor(text)


def test_an_instrument_with_another_anchor_is_named() -> None:
    with pytest.raises(TimeGridError, match="X: anchor 'noon' is no time of day"):
        future_timestamps(instrument("FX", "noon"), "4h", np.datetime64("2024-06-13"), 1)
