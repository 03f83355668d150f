"""Candles that a feed stamps with their close, of every timeframe and calendar."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.close_stamps import stamps_of_closes
from market.time_grid import candle_bounds, future_timestamps
from market.timeframes import TIMEFRAMES
from market.types import DatetimeArray
from tests.helpers.random_candles import instrument

CALENDARS = ("24/7", "FX", "METAL", "XNYS", "XSHG", "XHKG", "XTKS", "XLON", "XASX", "CMES", "FX:XNYS")


def stamps(*texts: str) -> DatetimeArray:
    return np.array(texts, dtype="datetime64[us]")


def texts(times: DatetimeArray) -> list[str]:
    return [str(time)[:16] for time in times]


@settings(deadline=None, max_examples=60)
@given(
    calendar=st.sampled_from(CALENDARS),
    timeframe=st.sampled_from(TIMEFRAMES),
    hour=st.integers(0, 20 * 365 * 24),
    count=st.integers(1, 100),
)
def test_the_closes_of_a_calendar_lead_to_its_timestamps(
    calendar: str, timeframe: str, hour: int, count: int
) -> None:
    traded = instrument(calendar)
    first = np.datetime64("2004-06-01", "us") + np.timedelta64(hour, "h")
    grid = future_timestamps(traded, timeframe, first, count)
    _, closes = candle_bounds(traded, timeframe, grid)
    np.testing.assert_array_equal(stamps_of_closes(traded, timeframe, closes[::-1]), grid[::-1])


@pytest.mark.parametrize(
    ("calendar", "timeframe", "closes", "opens"),
    [
        # The last half hour of New York; a feed may give it the length of the others.
        ("XNYS", "1h", ["2024-06-13T19:30", "2024-06-13T20:00"], ["2024-06-13T18:30", "2024-06-13T19:30"]),
        ("XNYS", "1h", ["2024-06-13T19:30", "2024-06-13T20:30"], ["2024-06-13T18:30", "2024-06-13T19:30"]),
        # A feed on the clock hour: its candle of 20:00 is a whole one, too.
        (
            "XNYS", "1h", ["2024-06-13T18:00", "2024-06-13T19:00", "2024-06-13T20:00"],
            ["2024-06-13T17:00", "2024-06-13T18:00", "2024-06-13T19:00"],
        ),
        # The first candle after the pause of metals counts from 17:00 New York.
        ("METAL", "4h", ["2024-06-14T01:00", "2024-06-14T05:00"], ["2024-06-13T21:00", "2024-06-14T01:00"]),
        ("24/7", "1h", ["1985-01-01T10:00"], ["1985-01-01T09:00"]),  # before the calendar begins
        # A session's own close, a later settlement, and an early close at the usual time.
        ("XNYS", "1d", ["2024-06-13T20:00", "2024-06-14T20:15"], ["2024-06-13T00:00", "2024-06-14T00:00"]),
        ("XNYS", "1d", ["2024-11-29T21:00"], ["2024-11-29T00:00"]),
        ("FX", "1d", ["2024-06-13T21:00"], ["2024-06-13T00:00"]),
        # Midnight is a date, unless a session closes then.
        ("XNYS", "1d", ["2024-06-13T00:00"], ["2024-06-13T00:00"]),
        ("24/7", "1d", ["2024-06-13T00:00", "2024-03-01T00:00"], ["2024-06-12T00:00", "2024-02-29T00:00"]),
        ("XNYS", "1w", ["2024-06-14T20:00", "2024-06-16T00:00"], ["2024-06-10T00:00", "2024-06-10T00:00"]),
        ("24/7", "1w", ["2024-06-17T00:00"], ["2024-06-10T00:00"]),
    ],
)  # fmt: skip
def test_candles_of_a_feed(calendar: str, timeframe: str, closes: list[str], opens: list[str]) -> None:
    assert texts(stamps_of_closes(instrument(calendar), timeframe, stamps(*closes))) == opens


@pytest.mark.parametrize("calendar", ["24/7", "FX", "XNYS"])
def test_dates_are_those_of_sessions_and_lie_in_their_week(calendar: str) -> None:
    days = np.arange("2024-06-10", "2024-06-17", dtype="datetime64[D]").astype("datetime64[us]")
    np.testing.assert_array_equal(stamps_of_closes(instrument(calendar), "1d", days, dated=True), days)
    weeks = stamps_of_closes(instrument(calendar), "1w", days, dated=True)
    assert set(texts(weeks)) == {"2024-06-10T00:00"}


def test_no_candles() -> None:
    assert not len(stamps_of_closes(instrument("XNYS"), "1h", stamps()))
