"""Tests the coverage of the last week, on a real Postgres."""

import logging
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from flows.scoring import recent_coverage as module
from flows.scoring.recent_coverage import RECENT, refresh_recent_coverage
from market.instruments import Instrument
from tests.helpers.forecasts_in_store import START, add_instrument

NOW = START + timedelta(days=30)
SCORE = """
    INSERT INTO prediction_scores (
        symbol, timeframe, as_of, model_name, pred_len, matured_at, actual, covered, covered_calibrated,
        pinball, abs_error, direction_hit, events_active, backfilled
    )
    VALUES (
        %(symbol)s, %(timeframe)s, %(matured_at)s::timestamptz - interval '4 hours', %(model)s, 4,
        %(matured_at)s, '{1,1,1,1}', %(covered)s, %(calibrated)s, '{1,1,1,1}', '{1,1,1,1}', '{t,t,t,t}', '{}',
        %(backfilled)s
    )
"""


def add_score(database: psycopg.Connection[Any], age: timedelta = timedelta(0), **changed: Any) -> None:
    columns: dict[str, Any] = {
        "symbol": "BTC-USD",
        "timeframe": "1h",
        "model": "tiny",
        "matured_at": NOW - age,
        "covered": [True, True, False, None],
        "calibrated": None,
        "backfilled": False,
    }
    database.execute(SCORE, columns | changed)


def coverage(database: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    columns = "timeframe, asset_class, model_name, closes, covered, closes_calibrated, covered_calibrated"
    return database.execute(f"SELECT {columns} FROM recent_coverage ORDER BY 1, 2, 3").fetchall()


def test_closes_are_counted_by_asset_class_and_model(database: psycopg.Connection[Any]) -> None:
    add_instrument(database, Instrument("OWN", "fx", "FX"))
    calibrated = [True, True, True, None]
    for symbol in ("BTC-USD", "ETH-USD", "OWN", "NOWHERE"):
        add_score(database, symbol=symbol)
        add_score(database, timedelta(hours=1), symbol=symbol, calibrated=calibrated)
    add_score(database, model="base")
    add_score(database, timeframe="1d")
    refresh_recent_coverage("1h", NOW)
    assert coverage(database) == [
        ("1h", "crypto", "base", 3, 2, 0, 0),
        ("1h", "crypto", "tiny", 12, 8, 6, 6),
        ("1h", "fx", "tiny", 6, 4, 3, 3),
    ]


@pytest.mark.parametrize(
    ("age", "counts"),
    [
        (timedelta(0), True),
        (timedelta(hours=-1), False),
        (RECENT - timedelta(hours=1), True),
        (RECENT, False),
    ],
)
def test_the_last_week_counts(database: psycopg.Connection[Any], age: timedelta, counts: bool) -> None:
    add_score(database, age)
    refresh_recent_coverage("1h", NOW)
    assert bool(coverage(database)) == counts


def test_backfilled_forecasts_do_not_count(database: psycopg.Connection[Any]) -> None:
    add_score(database, backfilled=True)
    add_score(database, timedelta(hours=1))
    refresh_recent_coverage("1h", NOW)
    assert coverage(database) == [("1h", "crypto", "tiny", 3, 2, 0, 0)]


def test_a_later_run_replaces_its_timeframe(database: psycopg.Connection[Any]) -> None:
    for timeframe in ("1h", "1d"):
        add_score(database, timeframe=timeframe)
        refresh_recent_coverage(timeframe, NOW)
    database.execute("DELETE FROM prediction_scores")
    refresh_recent_coverage("1h", NOW)
    assert [row[0] for row in coverage(database)] == ["1d"]


def test_a_failure_is_a_warning(
    database: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "get_run_logger", lambda: logging.getLogger("score"))
    database.execute("DROP TABLE recent_coverage")
    refresh_recent_coverage("1h", NOW)
    assert 'keep the coverage of an earlier run: relation "recent_coverage" does not exist' in caplog.text
