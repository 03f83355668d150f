"""Several rows of one event, and what looks wrong with a file's releases."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flows.files.calendar_files import read_calendar_file
from flows.files.frames import read_file

CPI: dict[str, Any] = {
    "event_time": "2024-06-12T12:30Z", "event_type": "cpi", "title": "CPI m/m", "currency": "USD",
}  # fmt: skip
OTHER = {**CPI, "title": "Core CPI m/m", "actual": 0.2}


def read(*rows: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    file = read_calendar_file(pl.DataFrame(list(rows), infer_schema_length=None))
    left_out = [note for note in file.notes if note.startswith("calendar-rows-left-out")]
    return file.rows.sort("title").to_dicts(), left_out


def figures(rows: list[dict[str, Any]]) -> list[tuple[Any, Any]]:
    return [(row["actual"], row["forecast"]) for row in rows if row["title"] == "CPI m/m"]


def test_rows_that_complete_each_other_are_one() -> None:
    rows, left_out = read({**CPI, "forecast": 0.1}, {**CPI, "actual": 0.0, "impact": "high"}, OTHER)
    assert figures(rows) == [(0.0, 0.1)]
    assert left_out == []


def test_contradicting_rows_are_left_out_and_named_and_the_rest_is_kept() -> None:
    rows, left_out = read({**CPI, "actual": 0.0}, {**CPI, "actual": 0.1}, OTHER)
    assert [row["title"] for row in rows] == ["Core CPI m/m"]
    assert "1 events are left out" in left_out[0]
    assert "2024-06-12 12:30 UTC USD CPI m/m" in left_out[0]


@pytest.mark.parametrize("column", ["published_at", "realtime_start", "known_on", "vintage", "updated_at"])
@pytest.mark.parametrize("order", [1, -1])
def test_the_first_published_figure_is_kept_where_a_column_dates_it(column: str, order: int) -> None:
    revisions = [
        {**CPI, "forecast": 0.3, "actual": None, column: "2024-06-01"},
        {**CPI, "forecast": 0.1, "actual": None, column: "2024-06-10"},
        {**CPI, "actual": 0.0, column: "2024-06-12T12:30Z"},
        {**CPI, "actual": 0.1, column: "2024-07-11"},
    ][::order]
    rows, left_out = read(*revisions, {**OTHER, column: None})
    assert figures(rows) == [(0.0, 0.1)]
    assert left_out == []


def test_what_is_not_out_yet_has_the_latest_forecast() -> None:
    rows, _ = read(
        {**CPI, "forecast": 0.3, "published_at": "2024-06-01"},
        {**CPI, "forecast": 0.1, "published_at": "2024-06-10"},
    )
    assert figures(rows) == [(None, 0.1)]


@pytest.mark.parametrize("second", [None, "2024-06-12"])
def test_a_column_that_dates_only_some_figures_decides_nothing(second: str | None) -> None:
    rows, left_out = read(
        {**CPI, "actual": 0.0, "published_at": "2024-06-12"},
        {**CPI, "actual": 0.1, "published_at": second},
    )
    assert rows == []
    assert len(left_out) == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"event_time": "2024-06-12T08:30Z"}, "unusual-release-time"),
        ({"event_time": "2024-06-15T12:30Z"}, "unusual-release-time"),
        ({"title": "Taxa de juros"}, "missing-releases"),
    ],
)
def test_what_looks_wrong_is_said_when_it_is_loaded(change: dict[str, Any], code: str) -> None:
    notes = read_calendar_file(pl.DataFrame([CPI | change])).notes
    assert [note.split(":")[0] for note in notes] == [code]


def test_two_times_for_one_release_are_said() -> None:
    rows = [{**CPI, "actual": 0.6}, {**CPI, "actual": 0.6, "event_time": "2024-06-12T11:30Z"}]
    (note,) = read_calendar_file(pl.DataFrame(rows)).notes
    assert note.startswith("two-release-times: ")
    assert read_calendar_file(pl.DataFrame(rows)).rows.height == 2


@pytest.mark.parametrize("name", ["calendar.json", "calendar.jsonl"])
def test_json_is_read_and_its_dates_stay_dates(tmp_path: Path, name: str) -> None:
    objects = ", \n".join(
        f'{{"event_time": "2024-0{month}-12", "event_type": "cpi", "title": "CPI m/m", "actual": 0.{month}}}'
        for month in (5, 6)
    )
    text = f"[{objects}]" if name.endswith(".json") else objects.replace(", \n", "\n")
    (tmp_path / name).write_text(text)
    rows = read_calendar_file(read_file(tmp_path / name)).rows
    assert rows["time_known"].to_list() == [False, False]
    assert rows["actual"].to_list() == [0.5, 0.6]


def test_the_real_calendar_is_whole(market_data: Path) -> None:
    frame = read_file(market_data / "economic_calendar.parquet")
    file = read_calendar_file(frame)
    assert file.rows.height == frame.height
    assert file.notes == ()
