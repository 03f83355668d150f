"""Rows of ml_predictions on a real Postgres: written whole, replaced by a rerun."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from flows.forecasting.store import PredictionRow, upsert_prediction, upsert_predictions
from flows.forecasting.stored_inputs import StoredInputs, keep_all_inputs
from sql.connect import connect

AS_OF = datetime(2024, 12, 18, 11, tzinfo=UTC)

ROW = PredictionRow(
    symbol="EURUSD",
    timeframe="1h",
    as_of=AS_OF,
    model_name="tiny",
    model_version="abc",
    pred_len=2,
    timestamps=[AS_OF + timedelta(hours=1), AS_OF + timedelta(hours=2)],
    p10=[1.04, 1.03],
    p50=[1.05, 1.05],
    p90=[1.06, 1.07],
    seed=2**53 - 1,
    event_context={"events_active": ["fomc"], "surprise_directions": {}},
    statistics={"paths": 20, "last_close": 1.05, "probabilities": {"up": [0.55, 0.5]}},
)


def stored(database: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    with database.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        return cursor.execute("SELECT * FROM ml_predictions ORDER BY symbol, as_of").fetchall()


def test_every_value_arrives(database: psycopg.Connection[Any]) -> None:
    upsert_prediction(database, ROW)
    (row,) = stored(database)
    assert {name: row[name] for name in vars(ROW)} == vars(ROW)
    assert row["created_at"] == row["updated_at"]


def test_no_context_is_sql_null(database: psycopg.Connection[Any]) -> None:
    upsert_prediction(database, replace(ROW, event_context=None))
    assert database.execute("SELECT count(*) FROM ml_predictions WHERE event_context IS NULL").fetchone() == (
        1,
    )


def test_no_statistics_are_sql_null(database: psycopg.Connection[Any]) -> None:
    upsert_prediction(database, ROW)
    query = "SELECT statistics #>> '{probabilities,up,0}' FROM ml_predictions"
    assert database.execute(query).fetchone() == ("0.55",)
    upsert_prediction(database, replace(ROW, statistics=None))
    count = "SELECT count(*) FROM ml_predictions WHERE statistics IS NULL"
    assert database.execute(count).fetchone() == (1,)


def test_a_rerun_replaces_the_row_and_keeps_when_it_was_created(database: psycopg.Connection[Any]) -> None:
    upsert_prediction(database, ROW)
    (before,) = stored(database)
    upsert_prediction(database, replace(ROW, p50=[1.1, 1.2], event_context=None))
    (after,) = stored(database)
    assert after["p50"] == [1.1, 1.2]
    assert after["event_context"] is None
    assert after["created_at"] == before["created_at"]
    assert after["updated_at"] > before["updated_at"]


@pytest.mark.parametrize(
    "change",
    [
        {"symbol": "GBPUSD"},
        {"timeframe": "1d"},
        {"as_of": AS_OF + timedelta(hours=1)},
        {"model_name": "other"},
    ],
)
def test_another_forecast_is_another_row(database: psycopg.Connection[Any], change: dict[str, Any]) -> None:
    upsert_prediction(database, ROW)
    upsert_prediction(database, replace(ROW, **change))
    assert len(stored(database)) == 2


def test_is_committed_at_once(database_url: str, database: psycopg.Connection[Any]) -> None:
    with psycopg.connect(database_url) as other:
        upsert_prediction(other, ROW)
        assert len(stored(database)) == 1


INPUTS = StoredInputs("EURUSD", "1h", AS_OF, "tiny", 40, 4, 1.0, 0, 1.0, None, None)


def rows_of(symbols: str) -> list[PredictionRow]:
    return [replace(ROW, symbol=symbol) for symbol in symbols]


def inputs_of(symbols: str) -> list[StoredInputs]:
    return [replace(INPUTS, symbol=symbol) for symbol in symbols]


@pytest.mark.parametrize(
    ("table", "write", "rows"),
    [
        ("ml_predictions", upsert_predictions, rows_of),
        ("prediction_inputs", keep_all_inputs, inputs_of),
    ],
)
def test_two_runs_that_write_the_same_rows_at_once_do_not_end_in_a_deadlock(
    database: psycopg.Connection[Any], database_url: str, table: str, write: Any, rows: Any
) -> None:
    """Both have to wait for the row in the middle, with the rows on their side of it written."""
    write(database, rows("AMZ"))

    def run(order: str) -> None:
        with connect(database_url) as connection, connection.transaction():
            write(connection, rows(order))

    with connect(database_url) as holding, ThreadPoolExecutor(2) as threads:
        holding.execute(f"SELECT FROM {table} WHERE symbol = 'M' FOR UPDATE")
        runs = [threads.submit(run, order) for order in ("AMZ", "ZMA")]
        wait_for_waiting(database, len(runs))
        holding.commit()
        for each in runs:
            each.result()


def wait_for_waiting(database: psycopg.Connection[Any], sessions: int) -> None:
    """Wait until so many sessions wait for a lock."""
    waiting = "datname = current_database() AND wait_event_type = 'Lock'"
    query = f"SELECT count(*) FROM pg_stat_activity WHERE {waiting}"
    give_up = time.monotonic() + 30
    while database.execute(query).fetchone() != (sessions,):
        assert time.monotonic() < give_up
        time.sleep(0.02)
