"""Which columns of a file have its times."""

from typing import Any

import polars as pl
import pytest

from flows.files.time_columns import holds_dates, time_columns


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"date": ["2024-01-02"], "time": ["09:30"]}, ["date", "time"]),
        ({"date": ["2024-01-02"], "time": ["All Day"]}, ["date", "time"]),
        ({"date": ["2024-01-02"], "time": [93000]}, ["date", "time"]),
        ({"date": ["2024-01-02"], "time": [1704187800]}, ["time"]),
        ({"date": ["2024-01-02"], "time": ["2024-01-02 09:30"]}, ["time"]),
        ({"date": ["2024-01-02 09:30"], "time": ["09:30"]}, ["date"]),
        ({"date": ["2024-01-02"], "unix": [1704187800]}, ["unix"]),
        ({"time": ["2024-01-02"]}, ["time"]),
        ({"when": ["2024-01-02"]}, []),
    ],
)
def test_columns_with_times(columns: dict[str, list[Any]], found: list[str]) -> None:
    assert time_columns(pl.DataFrame(columns), {name: name for name in columns}) == found


@pytest.mark.parametrize(
    ("texts", "dates"),
    [
        (["09:30", "All Day"], False),
        (["153000", "8:30am", "", None], False),
        (["2024-01-02 09:30"], True),
        (["Jan 2, 2024 09:30"], True),
        (["20240102"], True),
    ],
)
def test_columns_with_dates(texts: list[str], dates: bool) -> None:
    assert holds_dates(pl.Series(texts)) == dates
