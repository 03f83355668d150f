"""A run of several blocks of symbols: its rows are those of one block, and a failing block fails alone."""

import json
from collections.abc import Coroutine
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import psycopg
import pytest
from prefect import State
from prefect.artifacts import Artifact

from flows.forecasting import blocks
from flows.forecasting import tasks as predict_tasks
from flows.forecasting.answers import in_batches
from flows.forecasting.candles import read_candles
from flows.generated.releases import generated_releases
from flows.load import load_calendar
from flows.predict import predict_batch
from market.instruments import default_instruments
from market.time_grid import past_timestamps
from sql.loading import load
from tests.helpers.stand_in_server import Script

AS_OF = datetime(2024, 12, 18, 12, tzinfo=UTC)
SHORT: dict[str, Any] = {"timeframe": "1h", "as_of": AS_OF, "pred_len": 4, "sample_count": 3, "lookback": 40}
FIRST = ("BTC-USD", "DXY", "SPY", "VIX", "ETH-USD", "EURUSD", "GBPUSD")

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def market(database: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """25 active instruments of all calendars with 50 hourly candles each, and a calendar."""
    instruments = default_instruments()
    names = [*FIRST, *sorted(set(instruments) - set(FIRST))][:25]
    draws = np.random.default_rng(7)
    end = np.datetime64(AS_OF.replace(tzinfo=None), "us")
    rows = []
    for symbol in names:
        database.execute(load("upsert_instruments"), {**vars(instruments[symbol]), "active": True})
        times = past_timestamps(instruments[symbol], "1h", end, 50)
        closes = 100 * np.exp(0.01 * np.cumsum(draws.normal(size=50)))
        rows += [
            (symbol, time.item().replace(tzinfo=UTC), close)
            for time, close in zip(times, closes.tolist(), strict=True)
        ]
    with database.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO ohlcv_1h (symbol, ts, open, high, low, close, volume) "
            "VALUES (%s, %s, 100, 300, 1, %s, 1)",
            rows,
        )
    start, until = datetime(2022, 6, 1, tzinfo=UTC), datetime(2025, 3, 1, tzinfo=UTC)
    load_calendar(database, generated_releases(start, until, now=AS_OF, seed=1))
    return database


def run(**parameters: Any) -> State[Any]:
    return predict_batch(**{**SHORT, **parameters}, return_state=True)


def rows(database: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    """Everything stored of the forecasts but when it was."""
    with database.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        found = cursor.execute(
            "SELECT p.*, i.events, i.lookback FROM ml_predictions AS p JOIN prediction_inputs AS i "
            "USING (symbol, timeframe, as_of, model_name) ORDER BY symbol"
        ).fetchall()
    return [{**row, "created_at": None, "updated_at": None} for row in found]


def table() -> list[dict[str, Any]]:
    """The newest report, without the times that a run took."""
    found = Artifact.get("predict-batch-1h")
    assert found is not None
    assert not isinstance(found, Coroutine)
    return [
        {name: value for name, value in row.items() if not name.endswith(" ms")}
        for row in json.loads(str(found.data))
    ]


def test_rows_and_report_are_those_of_a_single_block(
    market: psycopg.Connection[Any], script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run().is_completed()
    whole, report, requests = rows(market), table(), {each.symbol: each for each in script.requests}
    assert len(whole) == 25
    assert all(row["events"] is not None for row in whole)
    market.execute("DELETE FROM ml_predictions")
    market.execute("DELETE FROM prediction_inputs")
    script.requests.clear()
    monkeypatch.setattr(blocks, "BLOCK", 4)
    assert run().is_completed()
    assert rows(market) == whole
    assert table() == report
    assert {each.symbol: each for each in script.requests} == requests


def test_leaders_and_calendar_are_read_once_and_candles_once(
    market: psycopg.Connection[Any], script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    execute = psycopg.Cursor.execute

    def counted(cursor: Any, query: Any, *given: Any, **settings: Any) -> Any:
        text = query if isinstance(query, str) else query.as_string()
        if "UNION ALL" not in text:  # whether a leader that is missing has finer candles
            read.append(text)
        return execute(cursor, query, *given, **settings)

    monkeypatch.setattr(psycopg.Cursor, "execute", counted)
    monkeypatch.setattr(blocks, "BLOCK", 10)
    equal = ["BTC-USD", "ETH-USD", *(f"COIN-{number}" for number in range(21))]
    for symbol in equal[2:]:
        like = default_instruments()["BTC-USD"]
        market.execute(load("upsert_instruments"), {**vars(like), "symbol": symbol, "active": True})
        market.execute(
            "INSERT INTO ohlcv_1h (symbol, ts, open, high, low, close, volume) "
            "SELECT %s, ts, open, high, low, close, volume FROM ohlcv_1h WHERE symbol = 'BTC-USD'",
            (symbol,),
        )
    read.clear()
    assert run(symbols=equal).is_completed()
    assert sum("FROM economic_calendar" in query for query in read) == 1
    assert sum('FROM "ohlcv_1d"' in query for query in read) == 1
    assert sum('FROM "ohlcv_1h"' in query for query in read) == 1 + 1 + 3  # leaders, times, each block


def test_a_block_that_can_not_be_read_loses_no_other(
    market: psycopg.Connection[Any], script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 10)
    whole = read_candles

    def broken(connection: Any, timeframe: Any, symbols: Any, *given: Any) -> Any:
        if "EURUSD" in symbols:
            raise psycopg.DataError("invalid page in block 7 of relation ohlcv_1h")
        return whole(connection, timeframe, symbols, *given)

    monkeypatch.setattr(predict_tasks, "read_candles", broken)
    state = run()
    assert state.is_failed()
    assert state.message is not None
    assert state.message.startswith("5 of 25 symbols failed, 20 stored. ")
    assert state.message.endswith(": DataError: invalid page in block 7 of relation ohlcv_1h")
    assert state.message.count("DataError") == 1
    lost = state.message.removeprefix("5 of 25 symbols failed, 20 stored. ").partition(":")[0].split(", ")
    assert "EURUSD" in lost
    assert not {row["symbol"] for row in rows(market)} & set(lost)


def test_a_row_that_the_database_refuses_loses_none_of_those_stored_with_it(
    market: psycopg.Connection[Any], script: Script
) -> None:
    market.execute("ALTER TABLE ml_predictions ADD CHECK (symbol <> 'EURUSD')")
    script.slow_s = dict.fromkeys(("BTC-USD", "EURUSD", "GBPUSD"), 0.3)
    state = run(symbols=["BTC-USD", "EURUSD", "GBPUSD"])
    assert state.message is not None
    assert state.message.startswith("1 of 3 symbols failed, 2 stored. EURUSD: CheckViolation: ")
    assert [row["symbol"] for row in rows(market)] == ["BTC-USD", "GBPUSD"]


def test_a_server_that_changes_its_model_is_followed_from_the_next_block_on(
    market: psycopg.Connection[Any], script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 5)
    script.models_after = {3: msgspec.structs.replace(script.model, version="v2")}
    assert run().is_completed()
    assert {row["model_version"] for row in rows(market)} == {"v1", "v2"}
    assert len(rows(market)) == 25
    assert len(script.requests) == 25 + 3  # those of the first block that v2 had answered, once more


def test_futures_are_given_in_batches_of_those_that_are_done() -> None:
    futures: list[Any] = [Future() for _ in range(5)]
    for future in futures[:3]:
        future.set_result(None)
    found = in_batches(futures)
    assert next(found) == futures[:3]
    futures[4].set_result(None)
    assert next(found) == [futures[4]]
    futures[3].set_result(None)
    assert list(found) == [[futures[3]]]
    assert list(in_batches([])) == []


def test_what_a_run_keeps_of_a_symbol_is_small(market: psycopg.Connection[Any], script: Script) -> None:
    outcomes = run(as_of=AS_OF + timedelta(minutes=1), store_samples=True).result()
    sizes = [len(msgspec.json.encode(vars(outcome) | {"row": vars(outcome.row)})) for outcome in outcomes]
    rows_stored = market.execute("SELECT octet_length(p::text) FROM ml_predictions AS p").fetchall()
    assert len(sizes) == len(rows_stored) == 25
    assert all(not isinstance(value, list) for outcome in outcomes for value in vars(outcome.row).values())
