"""Runs of the flow predict-batch over a small market: candles, releases, stored rows and the summary."""

import json
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psycopg
import pytest
from prefect import State
from prefect.artifacts import Artifact

from flows.generated.releases import generated_releases
from flows.load import load_calendar
from flows.predict import predict_batch
from market.instruments import default_instruments
from market.time_grid import past_timestamps
from sql.loading import load

AS_OF = datetime(2024, 12, 18, 12, tzinfo=UTC)
SYMBOLS = ("BTC-USD", "ETH-USD", "EURUSD", "SPY")
SHORT: dict[str, Any] = {"timeframe": "1h", "as_of": AS_OF, "pred_len": 4, "sample_count": 3, "lookback": 40}


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


def add_releases(database: psycopg.Connection[Any]) -> None:
    start, end = datetime(2022, 6, 1, tzinfo=UTC), datetime(2025, 3, 1, tzinfo=UTC)
    load_calendar(database, generated_releases(start, end, now=AS_OF, seed=1))


def stored(database: psycopg.Connection[Any]) -> dict[str, dict[str, Any]]:
    with database.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        rows = cursor.execute("SELECT * FROM ml_predictions").fetchall()
    return {row["symbol"]: row for row in rows}


def run(**parameters: Any) -> State[Any]:
    return predict_batch(**{**SHORT, **parameters}, return_state=True)


def artifact() -> tuple[str, list[dict[str, Any]]]:
    """Description and table of the newest summary."""
    found = Artifact.get("predict-batch-1h")
    assert found is not None
    assert not isinstance(found, Coroutine)
    assert found.description is not None
    return found.description, json.loads(str(found.data))
