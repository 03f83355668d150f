"""Backfilled forecasts among live ones: which are written, and what readers of the newest one see."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from flows.forecasting.store import (
    PredictionRow,
    insert_backfilled,
    unchanged_predictions,
    upsert_prediction,
)
from sql.connect import connect
from sql.loading import load

NOW = datetime(2024, 6, 12, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
# Programs outside this product that read the newest forecast, with and without a model's name.
READERS = [
    f"SELECT p50 FROM ml_predictions WHERE {where} ORDER BY {order} DESC LIMIT 1"
    for where in ("symbol = 'A' AND timeframe = '1h'", "symbol = 'A' AND model_name = 'tiny'")
    for order in ("as_of", "created_at")
]


def row(as_of: datetime, value: float, **changed: Any) -> PredictionRow:
    columns: dict[str, Any] = {
        "symbol": "A",
        "timeframe": "1h",
        "as_of": as_of,
        "model_name": "tiny",
        "model_version": "v1",
        "pred_len": 1,
        "timestamps": [as_of + HOUR],
        "p10": [value],
        "p50": [value],
        "p90": [value],
        "seed": 1,
        "event_context": None,
    }
    return PredictionRow(**(columns | changed))


def newest(database: psycopg.Connection[Any]) -> list[float | None]:
    found = [database.execute(reader).fetchone() for reader in READERS]
    return [None if one is None else one[0][0] for one in found]


def stored(database: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    with database.cursor(row_factory=dict_row) as cursor:
        return cursor.execute("SELECT * FROM ml_predictions ORDER BY as_of, model_name").fetchall()


def test_readers_of_the_newest_row_see_the_live_one(database: psycopg.Connection[Any]) -> None:
    upsert_prediction(database, row(NOW, 1.0))
    assert insert_backfilled(database, [row(NOW - hours * HOUR, 2.0) for hours in (500, 2, 1)]) == [True] * 3
    assert newest(database) == [1.0] * len(READERS)
    old = stored(database)[:3]
    assert [one["backfilled"] for one in old] == [True] * 3
    assert [one["created_at"] for one in old] == [one["as_of"] for one in old]
    assert all(one["updated_at"] > NOW for one in old)


def test_a_live_row_that_claims_to_be_older_than_its_as_of_stays_the_newest(
    database: psycopg.Connection[Any],
) -> None:
    upsert_prediction(database, row(NOW, 1.0))
    database.execute("UPDATE ml_predictions SET created_at = %s", [NOW - 100 * HOUR])
    assert insert_backfilled(database, [row(NOW - HOUR, 2.0)]) == [True]
    assert newest(database) == [1.0] * len(READERS)


@pytest.mark.parametrize(
    ("live", "as_of"),
    [
        ([], NOW),
        ([row(NOW, 1.0, symbol="B")], NOW - HOUR),
        ([row(NOW, 1.0, timeframe="1d")], NOW - HOUR),
        ([row(NOW, 1.0, model_name="other")], NOW - HOUR),
        ([row(NOW, 1.0)], NOW),
        ([row(NOW, 1.0)], NOW + HOUR),
        ([row(NOW - HOUR, 1.0), row(NOW, 1.0)], NOW - HOUR),
    ],
)
def test_nothing_is_written_that_would_be_the_newest_or_replace_a_live_row(
    database: psycopg.Connection[Any], live: list[PredictionRow], as_of: datetime
) -> None:
    for one in live:
        upsert_prediction(database, one)
    before = stored(database)
    assert insert_backfilled(database, [row(as_of, 2.0)]) == [False]
    assert stored(database) == before


def test_backfilled_rows_do_not_count_as_live_ones(database: psycopg.Connection[Any]) -> None:
    upsert_prediction(database, row(NOW, 1.0))
    insert_backfilled(database, [row(NOW - HOUR, 2.0)])
    database.execute("DELETE FROM ml_predictions WHERE NOT backfilled")
    assert insert_backfilled(database, [row(NOW - 2 * HOUR, 2.0)]) == [False]


def test_a_backfilled_row_is_written_again_and_is_due_for_scoring(database: psycopg.Connection[Any]) -> None:
    upsert_prediction(database, row(NOW, 1.0))
    insert_backfilled(database, [row(NOW - HOUR, 2.0)])
    database.execute("UPDATE ml_predictions SET scored_at = now()")
    (before, _) = stored(database)
    assert insert_backfilled(database, [row(NOW - HOUR, 3.0)]) == [True]
    (after, _) = stored(database)
    assert (after["p50"], after["scored_at"], after["backfilled"]) == ([3.0], None, True)
    assert after["created_at"] == before["created_at"]
    assert after["updated_at"] > before["updated_at"]


def test_a_live_run_makes_a_backfilled_row_live(database: psycopg.Connection[Any]) -> None:
    upsert_prediction(database, row(NOW, 1.0))
    backfilled = row(NOW - HOUR, 2.0, fingerprint="f")
    insert_backfilled(database, [backfilled])
    # It is not taken for a forecast that the live run has made already.
    assert unchanged_predictions(database, "1h", "tiny", {("A", NOW - HOUR): "f"}) == {}
    upsert_prediction(database, row(NOW - HOUR, 3.0, fingerprint="f"))
    (now_live, _) = stored(database)
    assert (now_live["p50"], now_live["backfilled"]) == ([3.0], False)
    assert now_live["created_at"] > NOW
    assert list(unchanged_predictions(database, "1h", "tiny", {("A", NOW - HOUR): "f"})) == ["A"]


@pytest.fixture
def second(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize("live_first", [True, False])
def test_a_live_run_and_a_backfill_at_once_leave_the_live_row(
    database: psycopg.Connection[Any], second: psycopg.Connection[Any], live_first: bool
) -> None:
    upsert_prediction(database, row(NOW, 1.0))

    def write(connection: psycopg.Connection[Any], live: bool) -> None:
        if live:
            upsert_prediction(connection, row(NOW - HOUR, 3.0))
        else:
            insert_backfilled(connection, [row(NOW - HOUR, 2.0)])

    with ThreadPoolExecutor(1) as pool:
        with database.transaction():
            write(database, live_first)
            waiting = pool.submit(write, second, not live_first)  # for the row that the first holds
            while not database.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
                assert not waiting.done()
        waiting.result()
    (one, _) = stored(database)
    assert (one["p50"], one["backfilled"]) == ([3.0], False)


def test_of_several_models_a_live_row_is_read_before_a_backfilled_one(
    database: psycopg.Connection[Any],
) -> None:
    for model in ("other", "tiny"):
        upsert_prediction(database, row(NOW, 1.0, model_name=model))
    upsert_prediction(database, row(NOW - HOUR, 1.0, model_name="other"))
    insert_backfilled(database, [row(NOW - HOUR, 2.0)])
    wanted = {"symbol": "A", "timeframe": "1h", "as_of": NOW - HOUR, "model_name": None}
    with database.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(load("stored_prediction"), wanted).fetchall()
        listed = cursor.execute(load("prediction_history"), {**wanted, "n": 9}).fetchall()
    assert [(one["model_name"], one["backfilled"]) for one in found] == [("other", False)]
    assert [(one["as_of"], one["backfilled"]) for one in listed] == [
        (NOW, False), (NOW, False), (NOW - HOUR, False), (NOW - HOUR, True),
    ]  # fmt: skip
