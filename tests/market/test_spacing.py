"""How far apart candles are: what contradicts a timeframe, and what breaks, nights and holes leave alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.instruments import Instrument
from market.spacing import continues, other_spacing, spacing_text, timeframe_of, typical_spacing
from market.time_grid import future_timestamps
from market.timeframes import TIMEFRAMES

START = np.datetime64("2026-06-01T00:00", "us")
MINUTE = np.timedelta64(60_000_000, "us")
CALENDARS = ["24/7", "FX", "METAL", "XNYS", "FX:XNYS", "XSHG", "XTKS", "XHKG", "CMES"]


def every(minutes: float, count: int = 60) -> np.ndarray:
    return START + (np.arange(count) * minutes).astype(int) * MINUTE


def sessions(minutes: int, per_session: int, count: int = 60) -> np.ndarray:
    """So many candles a day, then a night."""
    number = np.arange(count)
    return START + (number // per_session * 1440 + number % per_session * minutes) * MINUTE


@pytest.mark.parametrize("timeframe", TIMEFRAMES)
@pytest.mark.parametrize(
    ("minutes", "text", "fitting"),
    [(1, "1 minute", "1m"), (3, "3 minutes", None), (5, "5 minutes", "5m"), (15, "15 minutes", "15m"),
     (30, "30 minutes", "30m"), (60, "1 hour", "1h"), (120, "2 hours", "2h"), (240, "4 hours", "4h"),
     (480, "8 hours", None), (1440, "1 day", "1d"), (7 * 1440, "7 days", "1w")],
)  # fmt: skip
def test_spacings_and_timeframes(minutes: int, text: str, fitting: str | None, timeframe: str) -> None:
    spacing = other_spacing(every(minutes), timeframe)
    assert (spacing is None) == (fitting == timeframe)
    typical = typical_spacing(every(minutes))
    assert typical is not None
    assert spacing_text(typical) == text
    assert timeframe_of(typical) == fitting
    assert spacing in (None, typical)


@settings(deadline=None)  # the first example of each calendar builds its table
@given(
    st.sampled_from(CALENDARS),
    st.sampled_from(TIMEFRAMES),
    st.integers(0, 5000),
    st.integers(1, 300),
    st.sets(st.integers(0, 299), max_size=60),
)
def test_candles_of_a_calendar_are_of_its_timeframe(
    calendar: str, timeframe: str, start: int, count: int, dropped: set[int]
) -> None:
    first = START - np.timedelta64(start + 2000, "D")
    stamps = future_timestamps(Instrument("X", "equity", calendar), timeframe, first, count)
    stamps = np.delete(stamps, [row for row in dropped if row < count])
    assert other_spacing(stamps, timeframe) is None


@pytest.mark.parametrize(
    "stamps",
    [every(60, 1), every(60, 0), every(4320, 3), sessions(60, 2), every(60)[[0, 1, 5, 9, 13, 17, 21, 25]]],
    ids=["one", "none", "a long weekend", "two a session", "sparse"],
)
def test_spacings_that_fit_a_timeframe(stamps: np.ndarray) -> None:
    assert other_spacing(stamps, "1h") is None


def test_two_candles_that_are_too_close_are_enough() -> None:
    assert other_spacing(every(15, 2), "1h") == 15 * MINUTE


@pytest.mark.parametrize(
    ("future", "minutes", "expected"),
    [
        (every(15, 8), 15, True),
        (sessions(15, 4, 8) + 900 * MINUTE, 15, True),  # a night first
        (every(60, 1) + 900 * MINUTE, 15, True),  # a single one, after a night
        (every(60, 8), 15, False),
        (every(5, 8), 15, False),
        (every(5, 1), 15, False),
    ],
)
def test_whether_future_timestamps_have_the_spacing_of_the_candles(
    future: np.ndarray, minutes: int, expected: bool
) -> None:
    last = START - minutes * MINUTE
    if len(future) == 1 and not expected:
        last = START - 5 * MINUTE
    assert continues(future, last, minutes * MINUTE) is expected
