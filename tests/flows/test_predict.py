"""The flow predict-batch on a real Postgres and Prefect; the server's failures come from a stand-in."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import psycopg
import pytest
from prefect import State
from prefect.artifacts import Artifact
from prefect.settings import PREFECT_API_URL

from flows.forecasting import tasks as predict_tasks
from flows.forecasting.forecasts import usable_lookback
from flows.forecasting.seeds import forecast_seed
from flows.forecasting.store import upsert_predictions
from flows.forecasting.stored_inputs import keep_all_inputs
from flows.generated.releases import generated_releases
from flows.load import load_calendar
from flows.predict import predict_batch
from flows.runtime.arguments import as_utc
from inference_server.schemas import EncodedArray
from market.instruments import Instrument, default_instruments
from market.time_grid import past_timestamps
from market.warning_codes import WarningCode, warning
from sql.loading import load
from tests.helpers.stand_in_server import Script

AS_OF = datetime(2024, 12, 18, 12, tzinfo=UTC)
SYMBOLS = ("BTC-USD", "ETH-USD", "EURUSD", "SPY")
SHORT: dict[str, Any] = {"timeframe": "1h", "as_of": AS_OF, "pred_len": 4, "sample_count": 3, "lookback": 40}

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def market(database: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Active instruments with 50 hourly candles each."""
    for symbol in SYMBOLS:
        add_candles(database, symbol, 50)
    return database


def add_candles(database: psycopg.Connection[Any], symbol: str, count: int, until: datetime = AS_OF) -> None:
    instrument = default_instruments()[symbol]
    database.execute(load("upsert_instruments"), {**vars(instrument), "active": True})
    times = past_timestamps(instrument, "1h", np.datetime64(until.replace(tzinfo=None), "us"), count)
    rows = [(symbol, time.item().replace(tzinfo=UTC), 100.0 + i) for i, time in enumerate(times)]
    with database.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO ohlcv_1h (symbol, ts, open, high, low, close, volume) "
            "VALUES (%s, %s, %s, 200, 50, 100, 1) ON CONFLICT DO NOTHING",
            rows,
        )


def stored(database: psycopg.Connection[Any]) -> dict[str, dict[str, Any]]:
    with database.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        rows = cursor.execute("SELECT * FROM ml_predictions").fetchall()
    return {row["symbol"]: row for row in rows}


def run(**parameters: Any) -> State[Any]:
    return predict_batch(**{**SHORT, **parameters}, return_state=True)


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
    state = run(timeframe="240m", symbols=["BTC-USD", "NVDA"])
    assert "NVDA: no 4h candles" in str(state.message)
    (row,) = stored(market).values()
    assert (row["symbol"], row["timeframe"]) == ("BTC-USD", "4h")
    assert row["as_of"] == AS_OF - timedelta(hours=4)
    assert row["timestamps"] == [AS_OF + timedelta(hours=4 * step) for step in range(4)]


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


def add_releases(database: psycopg.Connection[Any]) -> None:
    start, end = datetime(2022, 6, 1, tzinfo=UTC), datetime(2025, 3, 1, tzinfo=UTC)
    load_calendar(database, generated_releases(start, end, now=AS_OF, seed=1))


def artifact() -> tuple[str, list[dict[str, Any]]]:
    """Description and table of the newest summary."""
    found = Artifact.get("predict-batch-1h")
    assert found is not None
    assert not isinstance(found, Coroutine)
    assert found.description is not None
    return found.description, json.loads(str(found.data))


def test_events_travel_with_the_candles_and_are_told_in_the_row(
    market: psycopg.Connection[Any], script: Script
) -> None:
    add_releases(market)
    assert run().is_completed()
    for request in script.requests:
        assert isinstance(request.events, EncodedArray)
        assert request.events.shape == (44, 20)
        assert request.event_schema == 1
    for row in stored(market).values():
        assert "fomc" in row["event_context"]["events_active"]
    description, table = artifact()
    assert "WITHOUT EVENTS" not in description
    assert "fomc" in table[0]["events"]
    assert (table[0]["queue ms"], table[0]["model ms"]) == ("2", "30")
    assert float(table[0]["store ms"]) >= 0
    assert "/#symbol=BTC-USD&timeframe=1h&as_of=2024-12-18T11%3A00%3A00Z)" in table[0]["page"]


@pytest.mark.parametrize(
    ("model", "calendar", "with_events", "reason"),
    [
        ({"has_events": False}, True, True, "the bundle stand-in has no EventEncoder"),
        ({"event_schema": 7}, True, True, "event schema 7"),
        ({}, False, True, "calendar"),
        ({}, True, False, "turned off for this run"),
    ],
)
def test_forecasts_without_events_are_made_and_said_loudly(
    market: psycopg.Connection[Any],
    script: Script,
    caplog: pytest.LogCaptureFixture,
    model: dict[str, Any],
    calendar: bool,
    with_events: bool,
    reason: str,
) -> None:
    script.model = msgspec.structs.replace(script.model, **model)
    if calendar:
        add_releases(market)
    state = run(with_events=with_events)
    assert state.is_completed()
    assert state.name == ("CompletedWithoutEvents" if with_events else "Completed")
    assert all(request.events is None for request in script.requests)
    assert [row["event_context"] for row in stored(market).values()] == [None] * len(SYMBOLS)
    said = [record.message for record in caplog.records if record.message.startswith("events-not-used: WITH")]
    assert len(said) == 1
    assert said[0].startswith("events-not-used: WITHOUT EVENTS: BTC-USD, ETH-USD, EURUSD, SPY: ")
    assert reason in said[0]
    assert reason in artifact()[0]
    for row in stored(market).values():
        (text,) = row["warnings"]
        assert text.startswith("events-not-used: ")
        assert reason in text


def fail(monkeypatch: pytest.MonkeyPatch, query: str, times: int) -> list[str]:
    """Let a step of the run lose its connection so many times; what was tried."""
    tried: list[str] = []
    real = getattr(predict_tasks, query)

    def losing(*arguments: Any, **settings: Any) -> Any:
        tried.append(query)
        if len(tried) <= times:
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return real(*arguments, **settings)

    monkeypatch.setattr(predict_tasks, query, losing)
    return tried


def test_a_hiccup_of_the_database_costs_no_events(
    market: psycopg.Connection[Any], script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_releases(market)
    tried = fail(monkeypatch, "plan_events", 2)
    assert run().is_completed()
    assert len(tried) == 3
    assert all(request.events is not None for request in script.requests)


def test_a_calendar_that_stays_away_costs_the_events_and_not_the_run(
    market: psycopg.Connection[Any], script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_releases(market)
    tried = fail(monkeypatch, "plan_events", 99)
    assert run().is_completed()
    assert len(tried) == 4
    assert all(request.events is None for request in script.requests)
    for row in stored(market).values():
        assert any("the calendar can't be read: server closed" in text for text in row["warnings"])


@pytest.mark.parametrize("broken", ["connection", "table"])
def test_calibrations_that_cannot_be_had_cost_the_calibrated_envelope_alone(
    market: psycopg.Connection[Any], script: Script, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    if broken == "connection":
        fail(monkeypatch, "read_calibrations", 99)
    else:
        market.execute("DROP TABLE prediction_calibration")
    assert run().is_completed()
    for row in stored(market).values():
        assert row["p10_calibrated"] is None
        (text,) = [text for text in row["warnings"] if text.startswith("calibration-not-read: ")]
        assert "there is no calibrated envelope" in text


def test_late_candles_are_said_loudly(market: psycopg.Connection[Any], script: Script) -> None:
    assert run(as_of=AS_OF + timedelta(hours=1)).is_completed()
    description, table = artifact()
    assert "LATE CANDLES: BTC-USD, ETH-USD, EURUSD:" in description  # the exchange of SPY has not opened yet
    assert table[0]["last candle"] == "2024-12-18 11:00 (late)"
    late = "candles-late: newer candles had closed when this was made, and were not in the database"
    assert late in stored(market)["EURUSD"]["warnings"]
    assert late not in stored(market)["SPY"]["warnings"]


def test_a_jump_shortens_the_lookback_unless_that_is_turned_off(
    market: psycopg.Connection[Any], script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_candles(market, "XAUUSD", 200)
    market.execute(
        "UPDATE ohlcv_1h SET close = 10 * close WHERE symbol = 'XAUUSD' AND ts IN "
        "(SELECT ts FROM ohlcv_1h WHERE symbol = 'XAUUSD' ORDER BY ts DESC LIMIT 5)"
    )
    assert run(symbols=["XAUUSD"], lookback=200).is_completed()
    (length,) = (request.lookback for request in script.requests)
    assert 128 <= length < 200
    assert market.execute("SELECT lookback FROM prediction_inputs").fetchall() == [(length,)]
    description, table = artifact()
    assert f"SHORTER LOOKBACK: XAUUSD ({length})" in description
    assert table[0]["last close"].endswith(f"(lookback {length})")
    monkeypatch.setenv("KRONOS_SHORTER_LOOKBACK", "none")
    assert run(symbols=["XAUUSD"], lookback=200).is_completed()
    assert script.requests[-1].lookback == 200


def test_a_close_that_the_server_says_is_clipped_is_marked(
    market: psycopg.Connection[Any], script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    said = warning(WarningCode.CLIPPED_CANDLES, "the close of the last candle lies beyond")
    script.warnings["ETH-USD"] = [said]
    assert run(symbols=["BTC-USD", "ETH-USD"]).is_completed()
    description, table = artifact()
    assert "CLIPPED: ETH-USD: the last close" in description
    assert [row["last close"].endswith("(clipped)") for row in table] == [False, True]
    assert f"ETH-USD: {said}" in [record.message for record in caplog.records]


def test_a_disk_that_is_nearly_full_is_in_the_summary_and_a_wrong_limit_fails_the_run(
    market: psycopg.Connection[Any], script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(total=2**40, used=0, free=2**20)
    monkeypatch.setattr("flows.runtime.disk_space.shutil.disk_usage", lambda folder: usage)
    assert run(symbols=["BTC-USD"]).is_completed()
    description, _ = artifact()
    assert "DISK NEARLY FULL: 1 MiB of 1,048,576 are free where " in description
    monkeypatch.setenv("KRONOS_MIN_FREE_MB", "many")
    state = run(symbols=["BTC-USD"])
    assert state.is_failed()
    assert str(state.message).startswith("KRONOS_MIN_FREE_MB is 'many'")


def test_a_symbol_whose_feed_has_ended_is_left_out_and_named(
    market: psycopg.Connection[Any], script: Script
) -> None:
    market.execute("UPDATE ohlcv_1h SET ts = ts - interval '14 days' WHERE symbol = 'SPY'")
    state = run()
    assert state.is_completed()
    assert sorted(stored(market)) == ["BTC-USD", "ETH-USD", "EURUSD"]
    description, table = artifact()
    named = (
        "SPY: not forecast: newest candle 2024-12-03 20:30 UTC, 70 later ones had closed by 2024-12-18 12:00"
    )
    assert f"STALE: {named}" in description
    assert table[0]["result"] == "STALE"
    assert table[0]["reason"].startswith("newest candle 2024-12-03 20:30 UTC")
    assert str(state.message).startswith("4 symbols: 3 stored, stale SPY. WITHOUT EVENTS: ")
    assert run(stale_after=70).is_completed()
    assert "SPY" in stored(market)


def test_an_unknown_volume_reaches_the_server_as_null(
    market: psycopg.Connection[Any], script: Script
) -> None:
    market.execute("UPDATE ohlcv_1h SET volume = NULL WHERE symbol = 'SPY' AND ts = '2024-12-17T20:30Z'")
    assert run(symbols=["SPY"]).is_completed()
    sent = script.requests[-1].candles
    assert sent is not None
    assert sent.volume == [1.0] * 39 + [None]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (datetime(2024, 1, 1, 5), datetime(2024, 1, 1, 5, tzinfo=UTC)),
        (datetime.fromisoformat("2024-01-01T05:00+02:00"), datetime(2024, 1, 1, 3, tzinfo=UTC)),
    ],
)
def test_a_naive_as_of_is_utc(given: datetime, expected: datetime) -> None:
    assert as_utc(given) == expected


def test_no_as_of_is_now() -> None:
    assert abs(as_utc(None) - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("lookback", "pred_len", "max_context", "used"),
    [
        (None, 120, 512, 392),
        (None, 120, 2048, 512),
        (None, 480, 512, 32),
        (512, 120, 512, 512),
        (32, 600, 512, 32),
    ],
)
def test_lookback(lookback: int | None, pred_len: int, max_context: int, used: int) -> None:
    assert usable_lookback(lookback, pred_len, max_context, 32) == used


@pytest.mark.parametrize(
    ("lookback", "pred_len", "words"), [(31, 120, "at least 32"), (None, 481, "at most 480")]
)
def test_a_lookback_too_short_to_forecast_from(lookback: int | None, pred_len: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        usable_lookback(lookback, pred_len, 512, 32)


def test_a_learned_calibration_stands_beside_the_raw_envelope(
    market: psycopg.Connection[Any], script: Script
) -> None:
    run()
    before = stored(market)
    learned = {
        "timeframe": "1h", "model_name": "stand-in", "model_version": "v1", "asset_class": "crypto",
        "as_of": AS_OF, "low": [0.5] * 4, "high": [0.25] * 4, "counts": [99] * 4,
    }  # fmt: skip
    market.execute(load("upsert_calibration"), learned)
    market.execute(
        load("upsert_calibration"), learned | {"as_of": AS_OF + timedelta(hours=1), "low": [9.0] * 4}
    )
    run()
    after = stored(market)
    beside = ("p10_calibrated", "p90_calibrated", "updated_at")
    for symbol, row in after.items():
        assert {**row, **dict.fromkeys(beside)} == {**before[symbol], **dict.fromkeys(beside)}
        if symbol in ("BTC-USD", "ETH-USD"):
            low, high = np.array(row["p10"]), np.array(row["p90"])
            np.testing.assert_allclose(row["p10_calibrated"], low - 0.5 * (high - low))
            np.testing.assert_allclose(row["p90_calibrated"], high + 0.25 * (high - low))
        else:
            assert row["p10_calibrated"] is row["p90_calibrated"] is None


def test_sample_paths_are_stored_only_when_asked_for(market: psycopg.Connection[Any], script: Script) -> None:
    run()
    assert all(row["samples"] is None for row in stored(market).values())
    run(store_samples=True)
    for row in stored(market).values():
        assert np.shape(row["samples"]) == (3, 4)
        np.testing.assert_allclose(np.median(row["samples"], axis=0), row["p50"], rtol=1e-6)
    run()
    assert all(row["samples"] is None for row in stored(market).values())


def test_statistics_are_stored_only_when_asked_for(market: psycopg.Connection[Any], script: Script) -> None:
    run(with_events=False)
    plain = stored(market)
    assert all(row["statistics"] is None for row in plain.values())
    wanted = {"quantiles": [0.25, 0.75], "moves": [0.0025, -0.02], "realised_volatility": True}
    assert run(with_events=False, **wanted).is_completed()
    for row in stored(market).values():
        statistics = row["statistics"]
        assert (statistics["paths"], statistics["calibrated"], statistics["last_close"]) == (3, False, 100.0)
        assert statistics["quantiles"]["levels"] == [0.25, 0.75]
        # Three paths that rise by 0.1, 0.2 and 0.3 % a step, and have a close of 100 before.
        assert statistics["probabilities"]["up"] == [1.0] * 4
        above, below = statistics["probabilities"]["close_above"]
        assert (above["price"], above["probability"]) == (100.25, [1 / 3, 2 / 3, 1.0, 1.0])
        assert (below["price"], below["probability"]) == (98.0, [1.0] * 4)
        touched = [one["probability"][-1] for one in statistics["probabilities"]["touch"]]
        assert touched == [1.0, 0.0]
        assert np.shape(statistics["realised_volatility"]["values"]) == (2, 4)
        assert row["p50"] == plain[row["symbol"]]["p50"]
    rows = stored(market)
    again = run(with_events=False, **wanted)
    assert [outcome.unchanged for outcome in again.result()] == [True] * len(SYMBOLS)
    assert stored(market) == rows
    run(with_events=False)
    assert all(row["statistics"] is None for row in stored(market).values())


def test_a_server_that_knows_no_statistics_costs_them_alone_and_is_asked_again(
    market: psycopg.Connection[Any], script: Script
) -> None:
    script.without_statistics = True
    assert run(with_events=False, moves=[]).is_completed()
    assert all(row["statistics"] is row["fingerprint"] is None for row in stored(market).values())
    script.without_statistics = False
    assert run(with_events=False, moves=[]).is_completed()
    for row in stored(market).values():
        assert row["statistics"]["probabilities"] == {"up": [1.0] * 4}


def test_a_run_that_would_write_what_is_there_already_does_not(
    market: psycopg.Connection[Any], script: Script
) -> None:
    add_releases(market)
    run()
    before, asked = stored(market), len(script.requests)
    for _ in range(2):
        state = run(as_of=AS_OF + timedelta(minutes=20))  # an hour missed, an hour run late
        assert state.is_completed()
        assert [outcome.unchanged for outcome in state.result()] == [True] * len(SYMBOLS)
    assert len(script.requests) == asked
    assert stored(market) == before
    description, table = artifact()
    assert [row["result"] for row in table] == ["unchanged"] * len(SYMBOLS)
    assert table[0]["p50"] == table[1]["p50"] != ""
    assert "failed" not in description


def test_a_corrected_candle_or_force_makes_a_row_again(
    market: psycopg.Connection[Any], script: Script
) -> None:
    add_releases(market)
    run()
    script.requests.clear()
    newest = "(SELECT max(ts) FROM ohlcv_1h WHERE symbol = 'ETH-USD')"
    market.execute(f"UPDATE ohlcv_1h SET close = 101 WHERE symbol = 'ETH-USD' AND ts = {newest}")
    outcomes = run().result()
    assert script.calls == {"ETH-USD": 1}
    assert [outcome.symbol for outcome in outcomes if not outcome.unchanged] == ["ETH-USD"]
    run(force=True)
    assert set(script.calls) == set(SYMBOLS)


def test_a_row_that_could_not_have_its_events_is_made_again(
    market: psycopg.Connection[Any], script: Script
) -> None:
    only: dict[str, Any] = {"symbols": ["SPY", "EURUSD"]}
    run(**only)
    run(**only)
    assert script.calls == {"SPY": 2, "EURUSD": 2}  # no calendar: it may be there the next time
    add_releases(market)
    script.without_events = {"SPY"}
    script.requests.clear()
    run(**only)
    run(**only)
    assert script.calls == {"SPY": 2, "EURUSD": 1}


@pytest.mark.parametrize(("model", "with_events"), [({"has_events": False}, True), ({}, False)])
def test_a_row_without_events_by_choice_or_by_its_bundle_stays(
    market: psycopg.Connection[Any], script: Script, model: dict[str, Any], with_events: bool
) -> None:
    script.model = msgspec.structs.replace(script.model, **model)
    for _ in range(2):
        assert run(symbols=["SPY"], with_events=with_events).is_completed()
    assert script.calls == {"SPY": 1}


def test_a_server_that_is_given_another_model_mixes_no_versions(
    market: psycopg.Connection[Any], script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    other = msgspec.structs.replace(script.model, version="v2", max_context=46)  # of 42 candles, no events
    script.models_after = {3: msgspec.structs.replace(other, has_events=False)}
    learned = {
        "timeframe": "1h", "model_name": "stand-in", "model_version": "v1", "asset_class": "crypto",
        "as_of": AS_OF, "low": [0.5] * 4, "high": [0.25] * 4, "counts": [99] * 4,
    }  # fmt: skip
    market.execute(load("upsert_calibration"), learned)
    add_releases(market)
    assert run(lookback=None).is_completed()
    rows = stored(market)
    assert set(rows) == set(SYMBOLS)
    versions = {symbol: row["model_version"] for symbol, row in rows.items()}
    assert set(versions.values()) == {"v1", "v2"}
    for symbol, row in rows.items():
        version = row["model_version"]
        assert row["seed"] == forecast_seed(symbol, "1h", row["as_of"], version)
        crypto = symbol in ("BTC-USD", "ETH-USD")
        assert (row["p10_calibrated"] is not None) == (version == "v1" and crypto)
        asked = [request for request in script.requests if request.symbol == symbol]
        assert len(asked) == (1 if version == "v1" else 2)
        assert (asked[-1].lookback == 42) == (version == "v2")
        assert (asked[-1].events is None) == (version == "v2")
    said = "the server changed its model from stand-in v1 during the run"
    assert any(said in record.message for record in caplog.records)


def test_a_server_whose_model_never_settles_is_a_failure_that_says_so(
    market: psycopg.Connection[Any], script: Script
) -> None:
    script.models_after = {
        number: msgspec.structs.replace(script.model, version=f"v{number + 1}") for number in range(1, 99)
    }
    state = run(symbols=["SPY"])
    assert state.is_failed()
    assert state.message is not None
    assert "SPY: the server changed its model 3 times during the run" in state.message
    assert stored(market) == {}


def test_warnings_of_the_server_travel_with_the_row(
    market: psycopg.Connection[Any], script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    add_releases(market)
    market.execute("DELETE FROM economic_calendar WHERE title ILIKE '%GDP%'")
    script.warnings = {"SPY": ["split: a step of 2:1 at 2024-12-17"]}
    run()
    rows = stored(market)
    told = {symbol: row["warnings"] for symbol, row in rows.items()}
    lacking = told["EURUSD"]  # what this calendar and these candles lack
    codes = [text.partition(":")[0] for text in lacking]
    assert codes.count("leader-missing") == 2
    assert "missing-releases" in codes
    assert told["SPY"] == [*lacking, *script.warnings["SPY"]]
    description, table = artifact()
    assert table[3]["warnings"].split(", ") == [*dict.fromkeys(codes), "split"]
    assert "split: a step of 2:1 at 2024-12-17 (SPY)" in description
    assert any("SPY: split: a step of 2:1" in record.message for record in caplog.records)


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
        add_candles(database, symbol, 50, datetime.now(UTC))
    script.statuses["ETH-USD"] = [422]
    assert run(as_of=None).is_failed()
    with database.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        (row,) = cursor.execute("SELECT * FROM flow_runs").fetchall()
    assert (row["deployment"], row["flow"], row["timeframe"]) == ("command line", "predict-batch", "1h")
    assert row["counts"] == {"stored": 1, "unchanged": 0, "skipped": 0, "stale": 0, "failed": 1}
    assert (row["succeeded_at"], row["without_events"]) == (None, 1)
    symbols = database.execute("SELECT symbol, succeeded_at, with_events FROM symbol_runs").fetchall()
    assert symbols == [("BTC-USD", row["ended_at"], False)]
