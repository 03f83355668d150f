"""Candles of a random walk and forecasts of them in the database, for tests of scores and calibrations."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
from prefect import State

from flows.forecasting.store import PredictionRow, upsert_prediction
from flows.score import score
from flows.scoring.tally import Tally
from market.instruments import Instrument
from sql.loading import load

START = datetime(2024, 1, 1, tzinfo=UTC)
BTC = Instrument("BTC-USD", "crypto", "24/7")
VOLATILITY = 0.01


def tally_of(**parameters: Any) -> Tally:
    """Run the function of the flow score-forecasts, and return its counts."""
    state = score.fn(**parameters)
    assert isinstance(state, State)
    assert isinstance(state.data, Tally)
    return state.data


def walk(count: int, seed: int = 3) -> np.ndarray:
    """Closes of a random walk, one an hour."""
    return np.asarray(1000 * np.exp(VOLATILITY * np.cumsum(np.random.default_rng(seed).normal(size=count))))


def add_closes(database: psycopg.Connection[Any], symbol: str, closes: np.ndarray) -> None:
    """Store hourly candles from `START` on."""
    with database.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO ohlcv_1h (symbol, ts, open, high, low, close) VALUES (%s, %s, 1, 1, 1, %s)",
            [(symbol, START + timedelta(hours=hour), close) for hour, close in enumerate(closes.tolist())],
        )


def add_instrument(database: psycopg.Connection[Any], instrument: Instrument = BTC) -> None:
    """Store an active instrument."""
    database.execute(load("upsert_instruments"), {**vars(instrument), "active": True})


def add_forecast(
    database: psycopg.Connection[Any], closes: np.ndarray, hour: int, *, width: float = 1.0, **changed: Any
) -> None:
    """Store the forecast made from the candle of an hour, `width` times as wide as a random walk spreads."""
    pred_len = changed.get("pred_len", 4)
    spread = 1.2816 * VOLATILITY * np.sqrt(np.arange(1, pred_len + 1)) * width
    row: dict[str, Any] = {
        "symbol": "BTC-USD",
        "timeframe": "1h",
        "as_of": START + timedelta(hours=hour),
        "model_name": "tiny",
        "model_version": "v1",
        "pred_len": pred_len,
        "timestamps": [START + timedelta(hours=hour + step) for step in range(1, pred_len + 1)],
        "p10": (closes[hour] * np.exp(-spread)).tolist(),
        "p50": [float(closes[hour]) * 1.001] * pred_len,
        "p90": (closes[hour] * np.exp(spread)).tolist(),
        "seed": 1,
        "event_context": None,
    }
    upsert_prediction(database, PredictionRow(**(row | changed)))


def score_rows(database: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    """Return the stored scores, oldest forecast first."""
    with database.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        return cursor.execute("SELECT * FROM prediction_scores ORDER BY as_of, symbol, model_name").fetchall()
