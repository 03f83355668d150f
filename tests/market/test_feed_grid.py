"""The grid that candles stand on: the calendar's, or the feed's own where it differs."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.feed_grid import feed_grid
from market.instruments import Instrument, default_instruments
from market.time_grid import TimeGridError, candle_bounds, future_timestamps, past_timestamps
from market.types import DatetimeArray

KNOWN = default_instruments()
APPLE = KNOWN["AAPL"]


def hourly(
    instrument: Instrument, sessions: int, hours: Sequence[float], first: str = "2026-04-01"
) -> DatetimeArray:
    """Candles so many hours after the open of each of some sessions."""
    days = future_timestamps(instrument, "1d", np.datetime64(first), sessions)
    opens, _ = candle_bounds(instrument, "1d", days)
    minutes = np.array([round(60 * hour) for hour in hours])
    return np.sort((opens[:, None] + minutes.astype("timedelta64[m]")).ravel())


def texts(stamps: np.ndarray) -> list[str]:
    return [str(stamp)[5:16].replace("T", " ") for stamp in stamps]


CLOCK = [k - 0.5 for k in range(7)]


@pytest.mark.parametrize("sessions", [5, 20])
def test_candles_on_the_clock_hour_go_on_there(sessions: int) -> None:
    stamps = hourly(APPLE, sessions, CLOCK)
    grid = feed_grid(APPLE, "1h", stamps)
    assert grid.own
    np.testing.assert_array_equal(
        grid.after(stamps[-1], 20), hourly(APPLE, 3, CLOCK, str(stamps[-1])[:10])[:20]
    )
    assert grid.missing(stamps).sum() == 0


def test_in_the_middle_of_a_session_and_over_the_change_of_clocks() -> None:
    stamps = hourly(APPLE, 20, CLOCK, "2026-10-01")
    last = stamps[-5]  # Wednesday, 15:00 UTC in summer
    assert texts(feed_grid(APPLE, "1h", stamps[:-4]).after(last, 5)) == [
        "10-29 16:00", "10-29 17:00", "10-29 18:00", "10-29 19:00", "10-30 13:00",
    ]  # fmt: skip
    friday = hourly(APPLE, 22, CLOCK, "2026-10-01")[:-1]
    assert texts(feed_grid(APPLE, "1h", friday).after(np.datetime64("2026-10-30T19:00"), 2)) == [
        "11-02 14:00", "11-02 15:00",
    ]  # fmt: skip


def test_a_half_day_is_short_on_the_clock_hour_too() -> None:
    stamps = hourly(APPLE, 20, CLOCK, "2026-10-26")
    last = np.datetime64("2026-11-25T20:00")
    stamps = np.concatenate([stamps[stamps < last], [last]])
    assert texts(feed_grid(APPLE, "1h", stamps).after(last, 5)) == [
        "11-27 14:00", "11-27 15:00", "11-27 16:00", "11-27 17:00", "11-30 14:00",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("instrument", "hours", "expected"),
    [
        # From four in the morning until eight in the evening.
        (APPLE, [k - 5.5 for k in range(16)], ["04-30 08:00", "04-30 09:00", "04-30 10:00"]),
        # Metals with a candle in the pause.
        (KNOWN["XAUUSD"], range(24), ["04-29 21:00", "04-29 22:00", "04-29 23:00"]),
        # An hour less than the calendar has.
        (KNOWN["XAUUSD"], range(2, 24), ["04-29 23:00", "04-30 00:00", "04-30 01:00"]),
        # Shanghai, stamped with the close.
        (Instrument("A", "equity", "XSHG"), [1, 2, 4.5, 5.5], ["04-30 02:30", "04-30 03:30", "04-30 06:00"]),
        # Bitcoin at half past.
        (KNOWN["BTC-USD"], [k + 0.5 for k in range(24)], ["04-30 00:30", "04-30 01:30", "04-30 02:30"]),
    ],
)
def test_hours_of_its_own_are_found(
    instrument: Instrument, hours: Sequence[float], expected: list[str]
) -> None:
    stamps = hourly(instrument, 75, hours, "2026-02-20")
    stamps = stamps[stamps < np.datetime64(f"2026-{expected[0].replace(' ', 'T')}")]
    grid = feed_grid(instrument, "1h", stamps)
    assert grid.own
    assert texts(grid.after(stamps[-1], 3)) == expected
    assert grid.missing(stamps[-100:]).sum() == 0


@settings(deadline=None, max_examples=60)
@given(
    hours=st.sets(st.integers(-5, 11), min_size=1),
    minute=st.sampled_from([0, 15, 30, 45, 59]),
    sessions=st.integers(6, 30),
)
def test_what_a_feed_does_every_session_it_goes_on_doing(hours: set[int], minute: int, sessions: int) -> None:
    whole = hourly(APPLE, 36, [hour + minute / 60 for hour in sorted(hours)], "2026-01-20")
    known = len(hours) * sessions
    grid = feed_grid(APPLE, "1h", whole[:known])
    np.testing.assert_array_equal(
        grid.after(whole[known - 1], 6 * len(hours)), whole[known:][: 6 * len(hours)]
    )
    assert grid.missing(whole[:known]).sum() == 0


def test_a_feed_without_sunday_evenings() -> None:
    euro = KNOWN["EURUSD"]
    stamps = past_timestamps(euro, "1h", np.datetime64("2026-06-05T20:30"), 600)
    stamps = stamps[stamps.astype("datetime64[D]").astype(int) % 7 != 3][-392:]
    grid = feed_grid(euro, "1h", stamps)
    assert texts(grid.after(stamps[-1], 2)) == ["06-08 00:00", "06-08 01:00"]
    assert grid.missing(stamps).sum() == 0


def test_a_feed_that_rests_at_the_weekend() -> None:
    bitcoin = KNOWN["BTC-USD"]
    stamps = past_timestamps(bitcoin, "1h", np.datetime64("2026-06-05T23:30"), 800)
    stamps = stamps[np.is_busday(stamps.astype("datetime64[D]"))][-392:]
    grid = feed_grid(bitcoin, "1h", stamps)
    assert texts(grid.after(stamps[-1], 2)) == ["06-08 00:00", "06-08 01:00"]
    assert grid.missing(stamps).sum() == 0
    # A feed that was away for weeks, and is back since Wednesday, rests on no Monday.
    whole = past_timestamps(bitcoin, "1h", np.datetime64("2026-06-05T23:30"), 2000)
    away = whole[(whole < np.datetime64("2026-05-01")) | (whole > np.datetime64("2026-06-03"))]
    assert not feed_grid(bitcoin, "1h", away).own


def test_daily_candles_on_sundays() -> None:
    euro = KNOWN["EURUSD"]
    days = np.arange("2026-03-01", "2026-06-06", dtype="datetime64[D]").astype("datetime64[us]")
    stamps = days[days.astype("datetime64[D]").astype(int) % 7 != 2]  # no Saturdays
    assert texts(feed_grid(euro, "1d", stamps).after(stamps[-1], 2)) == ["06-07 00:00", "06-08 00:00"]


@settings(deadline=None, max_examples=60)
@given(
    calendar=st.sampled_from(["24/7", "FX", "METAL", "XNYS", "FX:XNYS", "XSHG", "XTKS"]),
    timeframe=st.sampled_from(["5m", "30m", "1h", "4h", "1d"]),
    start=st.integers(0, 5000),
    count=st.integers(2, 400),
    dropped=st.sets(st.integers(1, 398), max_size=20),
)
def test_the_calendars_own_candles_keep_its_grid_whatever_is_missing(
    calendar: str, timeframe: str, start: int, count: int, dropped: set[int]
) -> None:
    instrument = Instrument("X", "equity", calendar)
    first = np.datetime64("2012-01-01", "us") + np.timedelta64(start, "D")
    stamps = future_timestamps(instrument, timeframe, first, count)
    kept = np.delete(stamps, [i for i in dropped if i < count - 1])
    # Single holes: what is missing in the same hour of several sessions is a habit of the feed.
    if len(dropped) > 3:
        kept = stamps
    grid = feed_grid(instrument, timeframe, kept)
    if len(kept) == len(stamps):
        assert not grid.own
    if not grid.own:
        assert grid.missing(kept).sum() == len(stamps) - len(kept)
        np.testing.assert_array_equal(
            grid.after(kept[-1], 50), future_timestamps(instrument, timeframe, kept[-1], 50)
        )
    assert (grid.after(kept[-1], 50) > kept[-1]).all()


def test_a_hole_of_days_and_a_sparse_feed_keep_the_calendars_grid() -> None:
    bitcoin = KNOWN["BTC-USD"]
    stamps = past_timestamps(bitcoin, "1h", np.datetime64("2026-06-05T10:30"), 400)
    holed = np.delete(stamps, np.arange(200, 250))
    assert not feed_grid(bitcoin, "1h", holed).own
    assert feed_grid(bitcoin, "1h", holed).missing(holed).max() == 50
    sparse = stamps[np.random.default_rng(1).random(400) < 0.3]
    assert not feed_grid(bitcoin, "1h", sparse).own


def test_a_candle_off_the_grid_is_not_overlapped() -> None:
    stray = np.append(hourly(APPLE, 20, range(7))[:-2], np.datetime64("2026-04-30T18:10"))
    assert texts(feed_grid(APPLE, "1h", stray).after(stray[-1], 1)) == ["04-30 19:30"]


def test_the_end_of_the_calendar_is_an_error() -> None:
    stamps = hourly(APPLE, 20, CLOCK)
    with pytest.raises(TimeGridError, match=r"50000 candles after .* reach outside the calendar"):
        feed_grid(APPLE, "1h", stamps).after(stamps[-1], 50_000)


@pytest.mark.parametrize("timeframe", ["1h", "1d"])
@pytest.mark.parametrize("calendar", ["24/7", "FX", "XNYS"])
@pytest.mark.parametrize("hole", [3, 10, 20, 40, 80])
@pytest.mark.parametrize("since", [1, 2, 4, 9])
def test_a_hole_is_no_habit(calendar: str, timeframe: str, hole: int, since: int) -> None:
    instrument = Instrument("X", "equity", calendar)
    stamps = past_timestamps(instrument, timeframe, np.datetime64("2026-06-05T12:30"), 2500)
    days = np.unique(stamps.astype("datetime64[D]"))
    kept = (stamps < days[-hole - since]) | (stamps >= days[-since])
    assert not feed_grid(instrument, timeframe, stamps[kept]).own
