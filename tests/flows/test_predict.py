"""The flow predict-batch on a real Postgres and Prefect: what is forecast and stored, and what fails."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from prefect.settings import PREFECT_API_URL

from flows.forecasting import tasks as predict_tasks
from flows.forecasting.seeds import forecast_seed
from flows.forecasting.store import upsert_predictions
from flows.forecasting.stored_inputs import keep_all_inputs
from flows.predict import predict_batch
from market.instruments import Instrument
from sql.loading import load
from tests.helpers.predict_runs import AS_OF, SYMBOLS, add_candles, market, run, stored
from tests.helpers.stand_in_server import Script

__all__ = ["market"]

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_forecasts_every_active_symbol(market: psycopg.Connection[Any], script: Script) -> None:
    state = run()
    assert state.is_completed()
    rows = stored(market)
    assert sorted(rows) == sorted(SYMBOLS)
    assert sorted(script.calls) == sorted(SYMBOLS)
    for symbol, row in rows.items():
        assert row["as_of"] < AS_OF
        assert row["timestamps"][0] > row["as_of"]
        assert len(row["p10"]) == len(row["p50"]) == len(row["p90"]) == len(row["timestamps"]) == 4
        assert row["seed"] == forecast_seed(symbol, "1h", row["as_of"], "v1")


def test_candles_of_another_timeframe_are_aggregated(market: psycopg.Connection[Any], script: Script) -> None:
    add_candles(market, "BTC-USD", 200)
    market.execute("DELETE FROM ohlcv_1h WHERE ts = %s", [AS_OF - timedelta(hours=30)])
    state = run(timeframe="240m", symbols=["BTC-USD", "NVDA"])
    assert "NVDA: no 4h candles" in str(state.message)
    (row,) = stored(market).values()
    assert (row["symbol"], row["timeframe"]) == ("BTC-USD", "4h")
    assert row["as_of"] == AS_OF - timedelta(hours=4)
    assert row["timestamps"] == [AS_OF + timedelta(hours=4 * step) for step in range(4)]
    (text,) = (text for text in row["warnings"] if text.startswith("incomplete-candles:"))
    assert "1 of 40 4h candles, aggregated from 1h, lack parts: 1 1h candles are missing" in text


def test_a_forced_rerun_gives_the_identical_row(market: psycopg.Connection[Any], script: Script) -> None:
    run()
    before = stored(market)
    run(force=True)
    after = stored(market)
    for symbol in SYMBOLS:
        assert after[symbol].pop("updated_at") > before[symbol].pop("updated_at")
    assert after == before


def test_a_busy_server_is_asked_again(market: psycopg.Connection[Any], script: Script) -> None:
    script.statuses["SPY"] = [503, 429, 500]
    assert run().is_completed()
    assert script.calls["SPY"] == 4
    assert "SPY" in stored(market)


def test_a_refusal_is_final_and_stops_nobody_else(market: psycopg.Connection[Any], script: Script) -> None:
    script.statuses["SPY"] = [422]
    script.statuses["EURUSD"] = [503] * 9
    state = run()
    assert state.is_failed()
    assert script.calls == {"SPY": 1, "EURUSD": 4, "BTC-USD": 1, "ETH-USD": 1}
    assert sorted(stored(market)) == ["BTC-USD", "ETH-USD"]
    assert state.message is not None
    assert state.message.startswith("2 of 4 symbols failed, 2 stored.")
    assert "SPY: PredictionRefused: Told to fail (422): SPY fails" in state.message
    assert "EURUSD: ServerUnavailable: Told to fail (503): EURUSD fails" in state.message


def test_symbols_that_cannot_be_forecast_are_named(market: psycopg.Connection[Any], script: Script) -> None:
    add_candles(market, "GBPUSD", 31)
    strange = Instrument("SPY", "equity", "MOON")
    market.execute(load("upsert_instruments"), {**vars(strange), "active": True})
    state = run(symbols=["BTC-USD", "GBPUSD", "SPY", "NVDA", "NO-SUCH"])
    assert state.message is not None
    assert state.message.startswith("4 of 5 symbols failed, 1 stored.")
    for words in (
        "GBPUSD: 31 1h candles",
        "SPY: unknown calendar 'MOON'",
        "NVDA: no 1h candles",
        "NO-SUCH: unknown",
    ):
        assert words in state.message
    assert list(stored(market)) == ["BTC-USD"]


def test_an_active_symbol_without_candles_fails_no_scheduled_run(
    market: psycopg.Connection[Any], script: Script
) -> None:
    index = Instrument("SPX", "index", "XNYS")
    market.execute(load("upsert_instruments"), {**vars(index), "active": True})
    state = run()
    assert state.is_completed()
    skipped = [outcome for outcome in state.result() if outcome.skipped]
    assert [outcome.symbol for outcome in skipped] == ["SPX"]


@pytest.mark.parametrize("address", ["", "127.0.0.1:8200", "htp://models", "http://models/predict"])
def test_a_server_address_that_is_none_is_said_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("KRONOS_SERVER", address)
    state = run()
    assert state.is_failed()
    assert state.message is not None
    assert state.message.startswith(f"KRONOS_SERVER cannot be used: {address!r}")
    assert "such as http://127.0.0.1:8200" in state.message


def test_a_server_that_is_down_is_one_clear_failure(
    market: psycopg.Connection[Any], no_waits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRONOS_SERVER", "http://127.0.0.1:1")
    state = run()
    assert state.is_failed()
    assert state.message is not None
    expected = "the inference server does not answer which model it serves: no answer from"
    assert state.message.startswith(expected)
    assert "set KRONOS_SERVER" in state.message
    assert stored(market) == {}


def test_an_unknown_volume_reaches_the_server_as_null(
    market: psycopg.Connection[Any], script: Script
) -> None:
    market.execute("UPDATE ohlcv_1h SET volume = NULL WHERE symbol = 'SPY' AND ts = '2024-12-17T20:30Z'")
    assert run(symbols=["SPY"]).is_completed()
    sent = script.requests[-1].candles
    assert sent is not None
    assert sent.volume == [1.0] * 39 + [None]


def test_a_killed_run_leaves_whole_rows_that_a_rerun_does_not_change(
    market: psycopg.Connection[Any], database_url: str, script: Script
) -> None:
    script.slow_s["SPY"] = 60.0
    command = [sys.executable, "-m", "flows.predict", "--timeframe", "1h", "--as-of", "2024-12-18T12:00Z"]
    environment = {**os.environ, "DATABASE_URL": database_url, "PREFECT_API_URL": PREFECT_API_URL.value()}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    others = {"BTC-USD", "ETH-USD", "EURUSD"}
    while set(stored(market)) != others and process.poll() is None:
        time.sleep(0.05)
    process.kill()
    process.communicate()
    rows = stored(market)
    assert set(rows) == others
    for row in rows.values():
        assert {len(row[name]) for name in ("timestamps", "p10", "p50", "p90")} == {row["pred_len"]} == {120}
    script.slow_s.clear()
    assert predict_batch(timeframe="1h", as_of=AS_OF, return_state=True).is_completed()
    for symbol, row in stored(market).items():
        if symbol in others:
            assert {**row, "updated_at": None} == {**rows[symbol], "updated_at": None}


def test_two_runs_at_once_store_each_row_once(market: psycopg.Connection[Any], script: Script) -> None:
    script.slow_s = dict.fromkeys(SYMBOLS, 0.1)
    with ThreadPoolExecutor(2) as threads:
        states = list(threads.map(lambda _: run(force=True), range(2)))
    assert all(state.is_completed() for state in states)
    assert set(script.calls.values()) == {2}
    keys = market.execute("SELECT symbol FROM ml_predictions ORDER BY symbol").fetchall()
    assert keys == market.execute("SELECT symbol FROM prediction_inputs ORDER BY symbol").fetchall()
    assert [symbol for (symbol,) in keys] == sorted(SYMBOLS)


@pytest.mark.parametrize("kind", [psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure])
def test_a_transaction_that_lost_against_another_is_tried_again(
    market: psycopg.Connection[Any],
    script: Script,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[psycopg.Error],
) -> None:
    tried: list[int] = []

    def lose_once(connection: psycopg.Connection[Any], rows: Any) -> None:
        upsert_predictions(connection, rows)
        tried.append(len(rows))
        if len(tried) == 1:
            raise kind("another transaction went first")

    monkeypatch.setattr(predict_tasks, "upsert_predictions", lose_once)
    assert run().is_completed()
    assert sorted(stored(market)) == sorted(SYMBOLS)


def test_a_forecast_and_what_it_was_made_from_are_one_transaction(
    market: psycopg.Connection[Any], database_url: str, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is lost after the first of the two is written."""
    run(symbols=["SPY"])
    before = stored(market), market.execute("SELECT * FROM prediction_inputs").fetchall()
    whole = keep_all_inputs

    def killed(connection: psycopg.Connection[Any], inputs: Any) -> None:
        whole(connection, inputs)
        market.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))

    monkeypatch.setattr(predict_tasks, "keep_all_inputs", killed)
    state = run(symbols=["SPY"], temperature=0.5)
    assert state.is_failed()
    assert (stored(market), market.execute("SELECT * FROM prediction_inputs").fetchall()) == before


def test_a_row_stands_where_its_inputs_can_not_be_kept_and_says_so(
    market: psycopg.Connection[Any], script: Script
) -> None:
    market.execute("DROP TABLE prediction_inputs")
    assert run(symbols=["SPY"]).is_completed()
    (text,) = [text for text in stored(market)["SPY"]["warnings"] if text.startswith("inputs-not-kept")]
    assert "prediction_inputs" in text


def test_a_run_is_recorded_for_the_metrics(database: psycopg.Connection[Any], script: Script) -> None:
    for symbol in ("BTC-USD", "ETH-USD"):
        # The last candle is still open; it counts if the next hour begins during the test.
        add_candles(database, symbol, 50, datetime.now(UTC) + timedelta(hours=1))
    script.statuses["ETH-USD"] = [422]
    assert run(as_of=None).is_failed()
    with database.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        (row,) = cursor.execute("SELECT * FROM flow_runs").fetchall()
    assert (row["deployment"], row["flow"], row["timeframe"]) == ("command line", "predict-batch", "1h")
    assert row["counts"] == {"stored": 1, "unchanged": 0, "skipped": 0, "stale": 0, "failed": 1}
    assert (row["succeeded_at"], row["without_events"]) == (None, 1)
    symbols = database.execute("SELECT symbol, succeeded_at, with_events FROM symbol_runs").fetchall()
    assert symbols == [("BTC-USD", row["ended_at"], False)]
