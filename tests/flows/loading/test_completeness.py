"""What counts as a shortened feed."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.loading.completeness import KEPT_DAYS, DaysOfRows, days_of, why_shortened

START = date(2024, 6, 1)


def days(*rows: int, start: int = 0) -> DaysOfRows:
    """Rows by date, from a day of June on; days without rows are left out."""
    return {START + timedelta(days=start + n): count for n, count in enumerate(rows) if count}


@pytest.mark.parametrize(
    ("before", "now", "reason"),
    [
        (days(), days(1), None),
        (days(10, 10, 10), days(10, 10, 10), None),
        (days(10, 10, 10), days(10, 10, 10, 10), None),
        (days(10, 10, 10), days(10, 10, start=1), None),  # the window moved on
        (days(3, 21), days(6, start=1), None),  # and the market closed meanwhile
        (days(10, 10, 10), days(10, 10, 8), None),  # 18 of 20
        (days(10, 10, 10), days(10, 6, 10), "16 rows, less than 90% of the 20"),
        (days(10, 10, 10), days(10, 10, 6), "after 2024-06-01 and until 2024-06-03 it has 16 rows"),
        (days(10, 10, 10), days(10, 10), "it ends on 2024-06-02, and had 10 later rows before"),
        (days(100, 100, 2), days(100, 100), "had 2 later rows before"),
        (days(10, 10, 1), days(10, 10), None),  # a single release, cancelled
        (days(1, 1), days(1), None),
        (days(2, 1), days(1, 1), None),
        (days(5, 5), days(5, start=30), None),  # nothing in common
    ],
)
def test_shortened_feeds(before: DaysOfRows, now: DaysOfRows, reason: str | None) -> None:
    found = why_shortened(before, now, 0.9)
    if reason is None:
        assert found is None
    else:
        assert found is not None
        assert reason in found
    assert why_shortened(before, now, 0.0) is None


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=9).filter(any),
    st.lists(st.integers(0, 9), min_size=9, max_size=9),
)
def test_more_rows_are_never_a_shortened_feed(rows: list[int], more: list[int]) -> None:
    grown = [count + extra for count, extra in zip([*rows, *[0] * (9 - len(rows))], more, strict=True)]
    assert why_shortened(days(*rows), days(*grown), 1.0) is None


def test_rows_are_counted_by_date_in_utc() -> None:
    times = [
        datetime(2024, 6, 1, 23, 59, tzinfo=UTC),
        datetime(2024, 6, 2, tzinfo=UTC),
        datetime(2024, 6, 2, 9, tzinfo=UTC),
    ]
    assert list(days_of(pl.Series("ts", times)).items()) == [(START, 1), (START + timedelta(days=1), 2)]


def test_the_last_days_are_kept() -> None:
    times = pl.Series(
        "ts", [datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in range(KEPT_DAYS + 5)]
    )
    kept = days_of(times)
    assert len(kept) == KEPT_DAYS
    assert max(kept) == times[-1].date()
