"""Runs beside a stuck database or server: they end, keep what can be kept, and say what was stuck."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import psycopg
import pytest
from prefect import flow, task

from flows.forecasting.seeds import forecast_seed
from flows.runtime import server_calls, time_limits
from flows.runtime.database import StatementTimeout, limited_transaction
from flows.runtime.database import database as database_transaction
from flows.runtime.time_limits import CLOSING_S, HOURLY_RUN_S, request_limit_s, statement_limit_s
from market.warning_codes import WarningCode
from sql.connect import connect
from tests.helpers.predict_runs import SYMBOLS, add_candles, artifact, market, run, stored
from tests.helpers.stand_in_server import Script, silent_server, stand_in_server

__all__ = ["market"]

pytestmark = pytest.mark.usefixtures("prefect_server")


@contextmanager
def held(url: str, lock: str) -> Iterator[None]:
    """Let another session hold a lock."""
    with connect(url) as other:
        other.execute(lock)
        yield


@pytest.mark.parametrize(
    ("table", "code"),
    [
        ("economic_calendar", WarningCode.EVENTS_NOT_USED),
        ("prediction_calibration", WarningCode.CALIBRATION_NOT_READ),
    ],
)
def test_forecasts_are_made_without_what_a_lock_keeps_back(
    market: psycopg.Connection[Any],
    database_url: str,
    script: Script,
    monkeypatch: pytest.MonkeyPatch,
    table: str,
    code: WarningCode,
) -> None:
    monkeypatch.setenv("KRONOS_STATEMENT_TIMEOUT_S", "0.2")
    with held(database_url, f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"):
        assert run(symbols=["SPY", "EURUSD"]).is_completed()
    for row in stored(market).values():
        (text,) = [text for text in row["warnings"] if text.startswith(code)]
        assert "the database gave up a statement, which may take 0.2 s (KRONOS_STATEMENT_TIMEOUT_S" in text


def test_a_locked_row_fails_its_symbol_alone(
    market: psycopg.Connection[Any], database_url: str, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    before = stored(market)
    monkeypatch.setenv("KRONOS_STATEMENT_TIMEOUT_S", "0.2")
    with held(database_url, "SELECT 1 FROM ml_predictions WHERE symbol = 'SPY' FOR UPDATE"):
        state = run(force=True)
    assert state.is_failed()
    assert state.message is not None
    assert state.message.startswith(
        "1 of 4 symbols failed, 3 stored. SPY: StatementTimeout: the database gave up"
    )
    after = stored(market)
    for symbol in SYMBOLS:
        assert (after[symbol]["updated_at"] == before[symbol]["updated_at"]) == (symbol == "SPY")


def test_a_run_without_candles_to_be_had_ends_and_says_so(
    market: psycopg.Connection[Any], database_url: str, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRONOS_STATEMENT_TIMEOUT_S", "0.2")
    with held(database_url, "LOCK TABLE ohlcv_1h IN ACCESS EXCLUSIVE MODE"):
        state = run()
    assert state.is_failed()
    assert state.message is not None
    assert "the database gave up a statement" in state.message
    assert script.calls == {}


def test_a_symbol_that_is_never_answered_is_not_asked_again(
    market: psycopg.Connection[Any], script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRONOS_TIMEOUT_S", "0.5")
    script.slow_s["SPY"] = 1.5
    script.statuses["EURUSD"] = [504]
    state = run()
    assert state.is_failed()
    assert script.calls == {"SPY": 1, "EURUSD": 1, "BTC-USD": 1, "ETH-USD": 1}
    assert sorted(stored(market)) == ["BTC-USD", "ETH-USD"]
    assert state.message is not None
    assert state.message.startswith("2 of 4 symbols failed, 2 stored.")
    assert "SPY: ServerTimeout: no answer from" in state.message
    assert "EURUSD: ServerTimeout: Told to fail (504)" in state.message


def test_a_stuck_server_is_one_clear_failure(
    market: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRONOS_TIMEOUT_S", "0.3")
    with silent_server() as address:
        monkeypatch.setenv("KRONOS_SERVER", address)
        state = run()
    assert state.is_failed()
    assert state.message is not None
    silence = f"no answer from {address}/model within 0.3 s"
    expected = f"the inference server does not answer which model it serves: {silence}"
    assert state.message.startswith(expected)


def test_a_run_that_has_to_end_keeps_what_was_answered_and_begins_nothing_new(
    market: psycopg.Connection[Any], script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two seconds are left for requests when the first five begin, none when the sixth does."""
    monkeypatch.setenv("KRONOS_REQUESTS_AT_ONCE", "4")
    for symbol in ("GBPUSD", "NVDA"):
        add_candles(market, symbol, 50)
    slow = ("ETH-USD", "EURUSD", "GBPUSD", "NVDA")
    script.slow_s = dict.fromkeys(slow, 30.0)

    def context() -> Any:
        elapsed_s = HOURLY_RUN_S - CLOSING_S + (1 if len(script.requests) >= 5 else -2)
        start = datetime.now(UTC) - timedelta(seconds=elapsed_s)
        return SimpleNamespace(flow=SimpleNamespace(timeout_seconds=HOURLY_RUN_S), start_time=start)

    monkeypatch.setattr(time_limits, "FlowRunContext", SimpleNamespace(get=context))
    state = run()
    assert state.is_failed()
    assert state.message is not None
    assert state.message.startswith("5 of 6 symbols failed, 1 stored.")
    assert sorted(stored(market)) == ["BTC-USD"]
    named = state.message.partition(": ServerTimeout: no answer from")[0]
    assert all(symbol in named for symbol in slow)
    assert "SPY: OutOfTime: the run has taken 2,941 s of the 3,300 s" in state.message
    assert script.calls["SPY"] == 0


def test_tasks_in_threads_know_when_their_run_has_to_end() -> None:
    @task
    def limits() -> tuple[float, float]:
        return request_limit_s(), statement_limit_s()

    @flow(timeout_seconds=110)
    def short() -> tuple[tuple[float, float], tuple[float, float]]:
        return limits(), limits.submit().result()

    for request_s, statement_s in short():
        assert 0 < request_s < statement_s < 110


def test_a_run_is_ended_by_prefect_where_the_database_itself_is_stopped(database_url: str) -> None:
    """No limit of a statement helps where the process is stopped that would keep to it."""
    stopped: list[int] = []

    @task
    def read_from_a_stopped_database() -> None:
        with database_transaction() as connection:
            stopped.append(connection.info.backend_pid)
            os.kill(stopped[0], signal.SIGSTOP)
            connection.execute("SELECT 1")

    @flow(timeout_seconds=1.5)
    def stuck() -> None:
        read_from_a_stopped_database()

    try:
        state = stuck(return_state=True)
    finally:
        for process in stopped:
            os.kill(process, signal.SIGCONT)
    assert state.name == "TimedOut"


def test_a_busy_server_is_asked_again_when_it_says(
    market: psycopg.Connection[Any], script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oftener than a server that fails, and with no wait of the flow's own."""
    monkeypatch.setattr(server_calls, "SHORTEST_WAIT_S", 0.01)
    script.statuses["SPY"] = [429] * 6 + [503]
    script.retry_after["SPY"] = "0"
    assert run(symbols=["SPY"]).is_completed()
    assert script.calls["SPY"] == 8
    script.statuses["SPY"], script.retry_after["SPY"] = [429] * 9, "3600"
    state = run(symbols=["SPY"], force=True)
    assert state.message is not None
    assert "SPY: ServerTimeout: the server asks for another 3600 s" in state.message
    assert script.calls["SPY"] == 9


@pytest.fixture
def second(script: Script, monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """What a second server of the list is to answer; the first one is that of `script`."""
    second = Script()
    with stand_in_server(second) as address:
        monkeypatch.setenv("KRONOS_SERVERS", f"{os.environ['KRONOS_SERVER']},{address}")
        monkeypatch.delenv("KRONOS_SERVER")
        yield second


def test_a_busy_server_of_several_is_not_waited_for(
    market: psycopg.Connection[Any], script: Script, second: Script
) -> None:
    for symbol in SYMBOLS:
        script.statuses[symbol], script.retry_after[symbol] = [429] * 9, "3600"
    assert run().is_completed()
    assert second.calls == dict.fromkeys(SYMBOLS, 1)
    assert 1 <= script.calls.total() <= len(SYMBOLS)


def test_a_server_of_several_that_changes_its_model_is_left_out(
    market: psycopg.Connection[Any], script: Script, second: Script
) -> None:
    script.models_after = {1: msgspec.structs.replace(script.model, version="v2")}
    assert run().is_completed()
    assert {row["model_version"] for row in stored(market).values()} == {"v1"}
    assert set(second.calls) == set(SYMBOLS)
    description, _ = artifact()
    assert "it has changed its model to stand-in v2" in description


def test_where_all_servers_change_their_model_the_rest_is_forecast_with_the_new_one(
    market: psycopg.Connection[Any], script: Script, second: Script
) -> None:
    for each in (script, second):
        each.models_after = {2: msgspec.structs.replace(each.model, version="v2")}
    assert run().is_completed()
    rows = stored(market)
    assert set(rows) == set(SYMBOLS)
    assert "v2" in {row["model_version"] for row in rows.values()}
    for symbol, row in rows.items():
        assert row["seed"] == forecast_seed(symbol, "1h", row["as_of"], row["model_version"])


def timeout_of(connection: psycopg.Connection[Any]) -> str:
    row = connection.execute("SHOW statement_timeout").fetchone()
    assert row is not None
    return str(row[0])


def test_a_stuck_statement_is_given_up_and_its_transaction_undone(
    database: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRONOS_STATEMENT_TIMEOUT_S", "0.1")

    def write_and_wait() -> None:
        with limited_transaction(database):
            database.execute(
                "INSERT INTO instruments (symbol, asset_class, calendar) VALUES ('X', 'fx', 'FX')"
            )
            database.execute("SELECT pg_sleep(30)")

    with pytest.raises(StatementTimeout, match=r"may take 0\.1 s"):
        write_and_wait()
    assert database.execute("SELECT 1 FROM instruments WHERE symbol = 'X'").fetchone() is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [("0", "2min"), ("15s", "15s"), ("500ms", "500ms"), ("1h", "2min"), ("20d", "2min")],
)
def test_a_limit_holds_for_its_transaction_alone_and_a_stricter_one_stays(
    database: psycopg.Connection[Any], given: str, expected: str
) -> None:
    """What a pooler of transactions would hand to somebody else afterwards is as it was."""
    database.execute(f"SET statement_timeout = '{given}'")
    before = timeout_of(database)
    with limited_transaction(database):
        assert timeout_of(database) == expected
    assert timeout_of(database) == before
    with pytest.raises(ZeroDivisionError), limited_transaction(database):
        raise ZeroDivisionError
    assert timeout_of(database) == before
