"""Rows of ml_predictions on a real Postgres: written whole, replaced by a rerun."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from flows.forecasting.store import PredictionRow, upsert_prediction

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
