"""Stored rows that claim midnight as their time are made dates; all others stay."""

import psycopg
import pytest

from flows.events import load_config
from flows.mend_calendar import main, mend_calendar

ROWS = """
    INSERT INTO economic_calendar (event_time, event_type, title, currency, source) VALUES
        ('2024-06-12 00:00Z', 'other', 'Consumer Price Index', NULL, 'FRED'),
        ('2024-06-13 00:00Z', 'other', 'Producer Price Index', NULL, 'FRED'),
        ('2024-06-12 04:00Z', 'other', 'Housing Starts', 'USD', 'new york'),
        ('2024-01-17 05:00Z', 'other', 'Housing Starts', 'USD', 'new york'),
        ('2024-06-12 12:30Z', 'cpi', 'CPI m/m', 'USD', 'times'),
        ('2024-07-11 00:00Z', 'cpi', 'CPI (MoM) (Jun)', 'usd', 'times'),
        ('2024-06-14 00:00Z', 'other', 'Tankan', 'JPY', 'times')
"""


@pytest.fixture
def filled(database: psycopg.Connection) -> psycopg.Connection:
    database.execute(ROWS)
    return database


def dates(database: psycopg.Connection) -> list[str]:
    found = database.execute("SELECT title FROM economic_calendar WHERE NOT time_known ORDER BY 1").fetchall()
    return [title for (title,) in found]


MENDED = [
    "CPI (MoM) (Jun)",
    "Consumer Price Index",
    "Housing Starts",
    "Housing Starts",
    "Producer Price Index",
]


def test_dates_are_marked_and_times_stay(filled: psycopg.Connection) -> None:
    assert mend_calendar(filled, load_config(), dry_run=True).height == 5
    assert dates(filled) == []
    assert mend_calendar(filled, load_config()).height == 5
    assert sorted(dates(filled)) == sorted(MENDED)
    assert mend_calendar(filled, load_config()).height == 0


def test_the_command_says_what_it_did(filled: psycopg.Connection, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--dry-run"]) == 0
    assert "5 rows would be mended" in capsys.readouterr().out
    assert main([]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "FRED: 2 rows at midnight are dates",
        "new york: 2 rows at midnight are dates",
        "times: 1 rows at midnight are dates",
        "5 rows mended",
    ]
    assert sorted(dates(filled)) == sorted(MENDED)
