"""The range of a backfill: what is refused, and that its parts make up the whole."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.backfilling.past_range import PastRange, check_history, checked_range

NOW = datetime(2024, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("start", "end", "every", "message"),
    [
        (NOW - DAY, NOW - 2 * DAY, 1, "start 2024-05-31T00:00Z is later than end 2024-05-30T00:00Z"),
        (NOW - DAY, NOW + DAY, 1, "end 2024-06-02T00:00Z lies in the future; expected at most the current"),
        (NOW + DAY, NOW + DAY, 1, "lies in the future"),
        (NOW - DAY, NOW, 0, "every is 0; expected a whole number of candles from 1 on"),
    ],
)
def test_what_is_refused(start: datetime, end: datetime, every: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked_range("1h", start, end, every, NOW)


def test_a_single_instant_up_to_now_is_a_range() -> None:
    past = checked_range("1d", NOW, NOW, 1, NOW)
    (part,) = past.slices()
    assert part.after < NOW == part.until


@pytest.mark.parametrize(
    ("first_candle", "message"),
    [
        (None, "no symbol has 1h candles; load some"),
        (NOW, "start 2024-05-31T00:00Z is before the first 1h candle of any symbol, 2024-06-01T00:00Z"),
    ],
)
def test_a_start_before_the_candles_is_refused(first_candle: datetime | None, message: str) -> None:
    past = PastRange("1h", NOW - DAY, NOW, 1)
    with pytest.raises(ValueError, match=message):
        check_history(past, first_candle)
    check_history(past, NOW - DAY)


@given(hours=st.integers(0, 2000), every=st.integers(1, 400), days=st.booleans())
def test_the_parts_follow_each_other_and_hold_whole_steps(hours: int, every: int, days: bool) -> None:
    past = PastRange("1d" if days else "1h", NOW - hours * timedelta(hours=1), NOW, every)
    parts = list(past.slices())
    assert parts[0].after == past.start - timedelta(microseconds=1)
    assert parts[-1].until == past.end
    for before, part in pairwise(parts):
        assert part.after == before.until
        assert (part.after - past.start) % past.step == timedelta(0)
