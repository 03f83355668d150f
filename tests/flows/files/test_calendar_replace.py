"""Releases that a newer file lacks are withdrawn, carefully, and come back."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest

from flows.events.source import read_calendar
from flows.load import Loaded, load_calendar, main

FIRST = datetime(2025, 1, 15, 13, 30, tzinfo=UTC)


def row(days: int, **changes: Any) -> dict[str, Any]:
    base = {
        "event_time": FIRST + timedelta(days=days), "event_type": "cpi", "title": "CPI m/m",
        "currency": "USD", "source": "feed", "actual": None, "forecast": 0.2,
    }  # fmt: skip
    return base | changes


def monthly(count: int, **changes: Any) -> list[dict[str, Any]]:
    return [row(30 * number, actual=0.1, **changes) for number in range(count)]


def load(
    database: psycopg.Connection, rows: list[dict[str, Any]], *, dry_run: bool = False, replace: bool = True
) -> Loaded:
    frame = pl.DataFrame(rows, infer_schema_length=None)
    return load_calendar(database, frame, replace_schedule=replace, dry_run=dry_run)


def withdrawn(database: psycopg.Connection) -> list[int]:
    """Return which rows are withdrawn, as days after the first."""
    found = database.execute(
        "SELECT event_time FROM economic_calendar WHERE withdrawn_at IS NOT NULL ORDER BY 1"
    ).fetchall()
    return [(time - FIRST).days for (time,) in found]


def refusals(loaded: Loaded) -> list[str]:
    return [note for note in loaded.notes if note.startswith("nothing-withdrawn")]


OLD = [*monthly(9), row(273), row(300)]
NEW = [*monthly(9), row(282), row(300)]


def test_a_moved_release_is_marked_and_kept(database: psycopg.Connection) -> None:
    load(database, OLD)
    loaded = load(database, NEW)
    assert (loaded.new, loaded.changed, refusals(loaded)) == (1, 0, [])
    assert "withdrawn: 2025-10-15 13:30 UTC USD CPI m/m" in loaded.notes
    assert withdrawn(database) == [273]
    assert database.execute("SELECT count(*) FROM economic_calendar").fetchone() == (12,)


def test_only_replace_withdraws(database: psycopg.Connection) -> None:
    load(database, OLD)
    load(database, NEW, replace=False)
    assert withdrawn(database) == []


def test_a_dry_run_lists_and_stores_nothing(database: psycopg.Connection) -> None:
    load(database, OLD)
    loaded = load(database, NEW, dry_run=True)
    assert "would be withdrawn: 2025-10-15 13:30 UTC USD CPI m/m" in loaded.notes
    assert loaded == Loaded(1, 0, 10)
    assert withdrawn(database) == []
    assert database.execute("SELECT count(*) FROM economic_calendar").fetchone() == (11,)


@pytest.mark.parametrize("replace", [True, False])
def test_a_file_that_has_it_again_brings_it_back(database: psycopg.Connection, replace: bool) -> None:
    load(database, OLD)
    load(database, NEW)
    assert load(database, OLD, replace=replace) == Loaded(0, 1, 10)
    assert withdrawn(database) == ([282] if replace else [])


@pytest.mark.parametrize(
    "spared",
    [
        row(273, actual=0.3),
        row(273, source="another"),
        row(273, source=None),
        row(273, title="Core CPI m/m"),
        row(273, currency="CAD"),
        row(301),  # after the last of the file
        row(-1),  # before the first
        row(273, event_type="earnings", title="NVDA Earnings", symbol="NVDA"),
    ],
)
def test_what_a_file_says_nothing_of_stays(database: psycopg.Connection, spared: dict[str, Any]) -> None:
    load(database, [*monthly(9), spared, row(300)])
    loaded = load(database, [*monthly(9), row(282), row(300)])
    assert withdrawn(database) == []
    assert refusals(loaded) == []


def test_earnings_are_a_series_by_symbol_whatever_their_title(database: psycopg.Connection) -> None:
    def earned(days: int, title: str) -> dict[str, Any]:
        return row(days, event_type="earnings", symbol="NVDA", title=title)

    load(
        database, [earned(0, "NVDA Earnings"), earned(90, "NVDA Earnings (Q2)"), earned(180, "NVDA Earnings")]
    )
    load(
        database, [earned(0, "NVDA Earnings"), earned(92, "NVDA Earnings (Q2)"), earned(180, "NVDA Earnings")]
    )
    assert withdrawn(database) == [90]


def test_a_month_in_brackets_makes_no_series(database: psycopg.Connection) -> None:
    load(
        database,
        [
            *monthly(9, title="CPI (MoM) (Jan)"),
            row(273, title="CPI (MoM) (Sep)"),
            row(300, title="CPI (MoM) (Oct)"),
        ],
    )
    load(database, [*monthly(9, title="CPI (MoM) (Jan)"), row(300, title="CPI (MoM) (Oct)")])
    assert withdrawn(database) == [273]


@pytest.mark.parametrize(
    ("size", "lacking", "gone"), [(40, 4, 4), (40, 5, 0), (12, 1, 1), (12, 2, 0), (4, 1, 1)]
)
def test_more_than_a_tenth_of_a_series_at_once_stays(
    database: psycopg.Connection, size: int, lacking: int, gone: int
) -> None:
    rows = [row(30 * number) for number in range(size)]
    others = [row(day, title="Beige Book") for day in range(1, 200)]  # so that the file isn't short
    load(database, rows + others)
    loaded = load(database, rows[:1] + rows[1 + lacking :] + others)
    assert len(withdrawn(database)) == gone
    if not gone:
        (said,) = refusals(loaded)
        assert f"lacks {lacking} of {size} rows of USD CPI m/m" in said


def test_an_empty_file_withdraws_nothing(database: psycopg.Connection, tmp_path: Path, capsys: Any) -> None:
    load(database, OLD)
    (tmp_path / "empty.csv").write_text("event_time,event_type,title,currency\n")
    assert main(["calendar", str(tmp_path / "empty.csv"), "--replace"]) == 0
    assert "nothing is withdrawn: the file is empty" in capsys.readouterr().out
    assert withdrawn(database) == []


def test_a_shortened_file_withdraws_nothing(database: psycopg.Connection) -> None:
    others = [row(day, title=f"Speech {day}") for day in range(1, 290)]
    load(database, OLD + others)
    loaded = load(database, NEW + others[::2])
    assert withdrawn(database) == []
    (said,) = refusals(loaded)
    assert "rows that the table has of source 'feed' in its span, as if it were shortened" in said


def test_forecasts_see_the_schedule_of_their_instant(database: psycopg.Connection) -> None:
    load(database, OLD)
    load(database, NEW)
    calendar, _ = read_calendar(database, FIRST, FIRST + timedelta(days=400))
    found = calendar.filter(pl.col("withdrawn_at").is_not_null())
    assert (found["event_time"][0] - FIRST).days == 273
    assert found.height == 1


def test_the_command_takes_zone_and_dry_run(
    database: psycopg.Connection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "calendar.csv"
    file.write_text(
        "event_time,event_type,title,currency\n"
        "2024-06-12 08:30:00,cpi,CPI m/m,USD\n2024-07-11,cpi,CPI m/m,USD\n"
    )
    assert main(["calendar", str(file), "--timezone", "America/New_York", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "zone: America/New_York" in lines
    assert "calendar.csv: 2 rows, 2 new, 0 changed, 0 unchanged; a dry run, nothing was stored" in lines
    assert main(["calendar", str(file), "--timezone", "America/New_York"]) == 0
    stored = database.execute("SELECT event_time, time_known FROM economic_calendar ORDER BY 1").fetchall()
    assert stored == [
        (datetime(2024, 6, 12, 12, 30, tzinfo=UTC), True),
        (datetime(2024, 7, 11, tzinfo=UTC), False),
    ]
    assert main(["calendar", str(file), "--timezone", "New York"]) == 1
    assert "there is no time zone 'New York'" in capsys.readouterr().err
