"""What the tests of the page put into a database: candles, a calendar and forecasts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
from psycopg.types.json import Jsonb

from inference_server.schemas import PredictAnswer
from sql.loading import load

NOW = datetime(2024, 12, 18, 12, tzinfo=UTC)  # seven hours before a rate decision
HOUR = timedelta(hours=1)
CONTEXT = {"events_active": ["fomc"], "surprise_directions": {}}


def add_candles(connection: psycopg.Connection[Any], symbol: str, timeframe: str, count: int) -> None:
    """Add candles of a random walk, half of them after `NOW` where they are hourly."""
    unit = HOUR if timeframe == "1h" else timedelta(days=1)
    first = (
        NOW - unit * count // 2 if timeframe == "1h" else datetime(2024, 12, 18, tzinfo=UTC) - unit * count
    )
    close = 1.05 * np.exp(np.random.default_rng(count).normal(0, 0.001, count).cumsum())
    rows = [
        (symbol, first + i * unit, one * 0.9995, one * 1.001, one * 0.999, one, 10.0)
        for i, one in enumerate(close.tolist())
    ]
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO ohlcv_{timeframe} (symbol, ts, open, high, low, close, volume) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s)",
            rows,
        )


def add_event(connection: psycopg.Connection[Any], time: datetime, title: str, **columns: Any) -> None:
    """Add a release of high impact in the dollar, unless told otherwise."""
    values = {
        "event_time": time,
        "title": title,
        "currency": "USD",
        "event_type": "fomc",
        "impact": "high",
        **columns,
    }
    names = ", ".join(values)
    marks = ", ".join(f"%({name})s" for name in values)
    connection.execute(f"INSERT INTO economic_calendar ({names}) VALUES ({marks})", values)


def add_symbol(connection: psycopg.Connection[Any], symbol: str) -> None:
    """Register a symbol that trades at all hours, with candles and a stored forecast."""
    connection.execute(
        "INSERT INTO instruments (symbol, asset_class, calendar) VALUES (%s, 'crypto', '24/7')", (symbol,)
    )
    add_candles(connection, symbol, "1h", 120)
    row = prediction_row(symbol=symbol)
    store_row(connection, row)
    store_inputs(connection, row, None)


def prediction_row(**columns: Any) -> dict[str, Any]:
    """A row of ml_predictions of EURUSD that starts from the hour before `NOW`."""
    return {
        "symbol": "EURUSD",
        "timeframe": "1h",
        "as_of": NOW - HOUR,
        "model_name": "tiny",
        "model_version": "abc",
        "pred_len": 2,
        "timestamps": [NOW, NOW + HOUR],
        "p10": [1.04, 1.03],
        "p50": [1.05, 1.05],
        "p90": [1.06, 1.07],
        "seed": 7,
        "event_context": Jsonb(CONTEXT),
        "p10_calibrated": None,
        "p90_calibrated": None,
        "samples": None,
        "warnings": None,
        "fingerprint": None,
        "statistics": None,
        **columns,
    }


def row_of(answer: PredictAnswer, **columns: Any) -> dict[str, Any]:
    """The row that a flow would store of an answer."""
    return prediction_row(
        symbol=answer.symbol,
        timeframe=answer.timeframe,
        as_of=answer.as_of,
        model_name=answer.model.name,
        model_version=answer.model.version,
        pred_len=len(answer.timestamps),
        timestamps=answer.timestamps,
        p10=answer.p10,
        p50=answer.p50,
        p90=answer.p90,
        seed=answer.seed,
        **columns,
    )


def store_row(connection: psycopg.Connection[Any], row: dict[str, Any]) -> None:
    """Write a forecast."""
    connection.execute(load("upsert_prediction"), row)


def store_inputs(
    connection: psycopg.Connection[Any], row: dict[str, Any], events: np.ndarray | None, **columns: Any
) -> None:
    """Write what a forecast was made from."""
    values = {
        **{name: row[name] for name in ("symbol", "timeframe", "as_of", "model_name")},
        "lookback": 40,
        "sample_count": 4,
        "temperature": 1.0,
        "top_k": 0,
        "top_p": 1.0,
        "event_schema": None if events is None else 1,
        "events": None if events is None else events.astype("<f4").tobytes(),
        **columns,
    }
    connection.execute(load("upsert_prediction_inputs"), values)
