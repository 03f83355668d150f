"""What is deleted of old forecasts, and what stays."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from flows.forecasting.store import insert_backfilled
from flows.scoring.outdated import Kind, Outdated, delete_outdated, forecasts_before, measure_outdated
from sql.connect import connect
from tests.helpers.forecasts_in_store import START, add_forecast, walk
from tests.helpers.stored import prediction_row, store_inputs
from tests.sql.test_backfilled import row

CLOSES = walk(60)
SAMPLES = [[1.0, 2.0, 3.0, 4.0], [2.0, 3.0, 4.0, 5.0]]
HOUR = timedelta(hours=1)
KINDS: tuple[Kind, ...] = ("samples", "inputs", "forecasts")


@pytest.fixture
def store(database: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Forecasts of the hours 0 to 9 with samples and inputs, all scored but that of hour 2."""
    for hour in range(10):
        add_forecast(database, CLOSES, hour, samples=SAMPLES)
        key = {"symbol": "BTC-USD", "timeframe": "1h", "model_name": "tiny"}
        store_inputs(database, prediction_row(**key, as_of=START + hour * HOUR), None)
    database.execute("UPDATE ml_predictions SET scored_at = now() WHERE as_of <> %s", [START + 2 * HOUR])
    database.execute("UPDATE prediction_inputs SET stored_at = as_of")
    return database


@pytest.fixture
def second(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with connect(database_url, autocommit=True) as connection:
        yield connection


def hours(database: psycopg.Connection[Any], query: str) -> list[int]:
    return [round((as_of - START) / HOUR) for (as_of,) in database.execute(query)]


def left(database: psycopg.Connection[Any]) -> dict[str, list[int]]:
    return {
        "samples": hours(database, "SELECT as_of FROM ml_predictions WHERE samples IS NOT NULL ORDER BY 1"),
        "inputs": hours(database, "SELECT as_of FROM prediction_inputs ORDER BY 1"),
        "forecasts": hours(database, "SELECT as_of FROM ml_predictions ORDER BY 1"),
    }


@pytest.mark.parametrize("batch", [1, 2, 1000])
@pytest.mark.parametrize(
    ("kind", "before", "expected"),
    [
        # A last candle opens four hours after the as_of.
        ("samples", 9, {"samples": [2, 5, 6, 7, 8, 9]}),
        ("samples", 99, {"samples": [2]}),
        ("inputs", 5, {"inputs": [5, 6, 7, 8, 9]}),
        ("inputs", 99, {"inputs": [9]}),
        ("forecasts", 9, {name: [2, 5, 6, 7, 8, 9] for name in KINDS}),
        ("forecasts", 99, {name: [2, 9] for name in KINDS}),
    ],
)
def test_what_stays(
    store: psycopg.Connection[Any], kind: Kind, before: int, expected: dict[str, list[int]], batch: int
) -> None:
    unchanged = left(store)
    old = Outdated(kind, "1h", START + before * HOUR)
    size = measure_outdated(store, old)
    assert left(store) == unchanged
    assert delete_outdated(store, old, batch, 0.0) == size.rows == 10 - len(expected[kind])
    assert size.bytes > 0
    assert left(store) == unchanged | expected
    assert delete_outdated(store, old, batch, 0.0) == 0


def test_another_timeframe_and_other_symbols_have_their_own(store: psycopg.Connection[Any]) -> None:
    add_forecast(store, CLOSES, 3, symbol="ETH-USD", samples=SAMPLES)
    store.execute("UPDATE ml_predictions SET scored_at = now() WHERE symbol = 'ETH-USD'")
    late = START + 99 * HOUR
    for kind in KINDS:
        assert delete_outdated(store, Outdated(kind, "1d", late)) == 0
    delete_outdated(store, Outdated("forecasts", "1h", late), pause_s=0.0)
    kept = store.execute("SELECT symbol FROM ml_predictions WHERE symbol = 'ETH-USD'").fetchall()
    assert kept == [("ETH-USD",)]  # its newest


def test_a_forecast_made_again_keeps_everything_until_it_is_scored(store: psycopg.Connection[Any]) -> None:
    add_forecast(store, CLOSES, 0, samples=SAMPLES)
    for kind in ("samples", "forecasts"):
        delete_outdated(store, Outdated(kind, "1h", START + 99 * HOUR), pause_s=0.0)
    assert left(store)["samples"] == [0, 2]
    assert left(store)["forecasts"] == [0, 2, 9]


def test_inputs_of_an_old_instant_that_were_stored_lately_stay(store: psycopg.Connection[Any]) -> None:
    store.execute("UPDATE prediction_inputs SET stored_at = now() WHERE as_of = %s", [START + HOUR])
    delete_outdated(store, Outdated("inputs", "1h", START + 99 * HOUR), pause_s=0.0)
    assert left(store)["inputs"] == [1, 9]


def test_old_backfilled_forecasts_go_too(store: psycopg.Connection[Any]) -> None:
    assert insert_backfilled(store, [row(START - HOUR, 1.0, symbol="BTC-USD")]) == [True]
    store.execute("UPDATE ml_predictions SET scored_at = now() WHERE backfilled")
    delete_outdated(store, Outdated("forecasts", "1h", START + HOUR), pause_s=0.0)
    assert left(store)["forecasts"] == list(range(10))


def test_a_row_that_another_session_holds_is_left_for_the_next_time(
    store: psycopg.Connection[Any], second: psycopg.Connection[Any]
) -> None:
    old = Outdated("forecasts", "1h", START + 9 * HOUR)
    with second.transaction():
        second.execute("SELECT FROM ml_predictions WHERE as_of = %s FOR UPDATE", [START])
        assert delete_outdated(store, old, pause_s=0.0) == 3
    assert left(store)["forecasts"] == [0, 2, 5, 6, 7, 8, 9]
    assert delete_outdated(store, old, pause_s=0.0) == 1


def test_an_interrupted_deletion_keeps_its_batches_and_goes_on(
    store: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    old = Outdated("inputs", "1h", START + 9 * HOUR)
    monkeypatch.setattr("flows.scoring.outdated.time.sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        delete_outdated(store, old, batch=4)
    assert left(store)["inputs"] == [4, 5, 6, 7, 8, 9]
    monkeypatch.undo()
    assert delete_outdated(store, old, batch=4, pause_s=0.0) == 5


def test_every_symbol_has_its_turn(store: psycopg.Connection[Any]) -> None:
    for number in range(5):
        for hour in (0, 1):
            add_forecast(store, CLOSES, hour, symbol=f"S{number}")
    store.execute("UPDATE ml_predictions SET scored_at = now() WHERE symbol LIKE 'S_'")
    # Of BTC-USD the first hour's, and of each other symbol the older one.
    assert delete_outdated(store, Outdated("forecasts", "1h", START + 5 * HOUR), pause_s=0.0) == 6


@pytest.mark.parametrize(
    ("timeframe", "days", "expected"), [("1h", 9, 68), ("1h", 400, 400), ("1d", 400, 1103)]
)
def test_a_calibration_keeps_the_forecasts_that_it_learns_from(
    timeframe: str, days: int, expected: int
) -> None:
    now = datetime(2024, 6, 1, tzinfo=UTC)
    assert now - forecasts_before(timeframe, now, timedelta(days=days)) == timedelta(days=expected)
