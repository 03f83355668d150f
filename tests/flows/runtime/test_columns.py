"""Arrays of a row as columns: equal to what psycopg reads value by value, NULL, NaN and empty ones too."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.runtime.columns import column_cursor

START = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.none() | st.floats(width=64), max_size=9))
def test_numbers(database: psycopg.Connection[Any], values: list[float | None]) -> None:
    with column_cursor(database) as cursor:
        row = cursor.execute("SELECT %s::float8[]", (values,)).fetchone()
    assert row is not None
    assert row[0].equals(pl.Series(values, dtype=pl.Float64()), null_equal=True)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_instants_in_whatever_time_zone(database: psycopg.Connection[Any], zone: str) -> None:
    times = [START, None, datetime(2000, 1, 1, tzinfo=UTC), START + timedelta(days=40_000)]
    database.execute(f"SET TimeZone = '{zone}'")
    with column_cursor(database) as cursor:
        row = cursor.execute("SELECT %s::timestamptz[], %s::timestamptz[]", (times, times[2:])).fetchone()
    assert row is not None
    assert [each.to_list() for each in row] == [times, times[2:]]
    assert {each.dtype for each in row} == {pl.Datetime("us", "UTC")}
