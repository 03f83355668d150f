"""Files into typed frames: every form of a value that is taken, and every refusal with what it names."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.files.frames import UTC_TIME, TableError, conform, read_file

SCHEMA: dict[str, pl.DataType] = {
    "name": pl.String(),
    "at": UTC_TIME,
    "day": pl.Date(),
    "number": pl.Float64(),
    "flag": pl.Boolean(),
}
NOON = datetime(2024, 1, 31, 12, tzinfo=UTC)


def typed(**columns: list[Any]) -> dict[str, list[Any]]:
    frame = pl.DataFrame({"name": [f"n{i}" for i in range(len(next(iter(columns.values()))))], **columns})
    return conform(frame, SCHEMA, ["name"], ["name"]).to_dict(as_series=False)


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-31T12:00:00Z",
        "2024-01-31 12:00:00",
        "2024-01-31T12:00",
        "2024-01-31 12:00:00+00:00",
        "2024-01-31T07:00:00-05:00",
        " 2024-01-31T12:00:00.000Z ",
        "1706702400",
        "1706702400.0",
        "1706702400000",
        "1706702400000000",
        "1706702400000000000",
    ],
)
def test_times_as_text(text: str) -> None:
    assert typed(at=[text])["at"] == [NOON]


@pytest.mark.parametrize(
    "values",
    [
        pl.Series([NOON]),
        pl.Series([NOON.replace(tzinfo=None)], dtype=pl.Datetime("ns")),
        pl.Series([NOON]).dt.convert_time_zone("America/New_York").dt.cast_time_unit("ms"),
        pl.Series([1706702400]),
        pl.Series([1706702400000]),
        pl.Series([1706702400000000]),
        pl.Series([1706702400000000000]),
        pl.Series([1706702400.0]),
        pl.Series([1706702400000], dtype=pl.UInt64),
    ],
    ids=["aware", "naive", "New York", "s", "ms", "us", "ns", "s as a float", "ms as unsigned"],
)
def test_times_of_other_types(values: pl.Series) -> None:
    frame = pl.DataFrame({"name": ["A"], "at": values})
    assert conform(frame, SCHEMA, ["name"], ["name"])["at"].to_list() == [NOON]


@pytest.mark.parametrize("written", [date(2024, 1, 31), "2024-01-31", "20240131", 20240131])
def test_a_date_is_its_midnight_in_utc(written: Any) -> None:
    assert typed(at=[written])["at"] == [NOON.replace(hour=0)]


def test_a_missing_unix_time_stays_missing() -> None:
    assert typed(at=[1706702400, None])["at"] == [NOON, None]


def test_text_becomes_numbers_flags_and_dates() -> None:
    found = typed(number=["1.5", "-2e3", ""], flag=["True", "0", " "], day=["2024-01-31", "2024-02-01", None])
    assert found["number"] == [1.5, -2000.0, None]
    assert found["flag"] == [True, False, None]
    assert found["day"] == [date(2024, 1, 31), date(2024, 2, 1), None]
    assert found["at"] == [None] * 3


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_numbers_written_as_text_come_back_the_same(numbers: list[float]) -> None:
    assert typed(number=[repr(number) for number in numbers])["number"] == numbers


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"number": ["1.25%"]}, r"number is not a number: n0 1\.25% \(name, number\)"),
        ({"number": ["NaN"]}, "number is not finite: n0 nan"),
        ({"number": [1.0, float("inf")]}, "number is not finite: n1 inf"),
        ({"at": ["yesterday"]}, "at is not a time like 2024-01-31T13:30:00Z.*: n0 yesterday"),
        ({"at": ["2024-13-01"]}, "at is not a time"),
        ({"at": [0]}, "at is not a time like .* or a Unix time from 1973 on: n0 0"),
        ({"at": ["1699"]}, "at is not a time"),
        ({"at": [20241301]}, "at is not a time"),
        ({"at": [10**19]}, "at is not a time"),
        ({"day": ["soon"]}, "day is not a date like 2024-01-31: n0 soon"),
        ({"flag": ["maybe"]}, "flag is not true or false: n0 maybe"),
        ({"name": ["A", "A"], "number": [1, 2]}, "several rows of one key with different values: A"),
        ({"name": ["A", " "]}, "name is missing"),
        ({"name": ["A", None]}, "name is missing"),
        ({"nomber": [1]}, r"unknown columns: nomber; expected name and optionally at, day, number, flag"),
    ],
)
def test_what_is_refused(columns: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(TableError, match=message):
        typed(**columns)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(TableError, match="missing columns: at; expected name, at and optionally"):
        conform(pl.DataFrame({"name": ["A"]}), SCHEMA, ["name", "at"], ["name"])


def test_a_long_list_is_cut_and_counted() -> None:
    with pytest.raises(TableError, match=r"n0 x; .*n9 x, … and 5 more \(name, number\)"):
        typed(number=["x"] * 15)


def test_identical_rows_count_once() -> None:
    assert typed(name=["A", "B", "A"], number=[1, 2, 1])["name"] == ["A", "B"]


def test_csv_and_parquet_give_the_same(tmp_path: Path) -> None:
    frame = pl.DataFrame({"name": ["A", 'quoted, "B"'], "at": [NOON, NOON], "number": [0.1, None]})
    frame.write_parquet(tmp_path / "t.parquet")
    frame.write_csv(tmp_path / "t.csv")
    csv, parquet = (
        conform(read_file(tmp_path / name), SCHEMA, ["name"], ["name"]) for name in ("t.csv", "t.parquet")
    )
    assert csv.equals(parquet)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.csv", None, "there is no such file"),
        ("empty.csv", " \n", "it is empty"),
        ("broken.parquet", "not Parquet", "it can't be read: "),
        ("table.xlsx", "", r"expected a file that ends in \.csv, .*or \.parquet"),
    ],
)
def test_unreadable_files(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(TableError, match=message):
        read_file(tmp_path / name)
