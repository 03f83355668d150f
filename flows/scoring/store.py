"""Reads stored forecasts and scores, and writes scores."""

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import polars as pl
import psycopg
from psycopg.rows import class_row, dict_row

from flows.scoring.forecast_scores import ForecastScore, StoredForecast
from flows.scoring.steps import WIDE_SCHEMA, score_lists, steps_of
from sql.loading import load

MOST_SHOWN: Final = 20_000
"""Forecasts whose steps a summary is made of: 25 symbols forecast every hour for 30 days are 18,000."""

_ROWS = 1000  # of forecasts held as Python objects at once


class ForecastKey(NamedTuple):
    """Identifies a forecast of a timeframe."""

    symbol: str
    as_of: datetime
    model_name: str


def claim_forecasts(
    connection: psycopg.Connection[Any], timeframe: str, keys: Sequence[ForecastKey]
) -> list[StoredForecast]:
    """Read forecasts and mark them as scored, oldest first; no other transaction changes them meanwhile."""
    with connection.cursor(binary=True, row_factory=class_row(StoredForecast)) as cursor:
        forecasts = cursor.execute(load("claim_forecasts"), _key_columns(timeframe, keys)).fetchall()
    return sorted(forecasts, key=key_of)


def release_forecasts(
    connection: psycopg.Connection[Any], timeframe: str, forecasts: Sequence[StoredForecast]
) -> None:
    """Mark claimed forecasts as due again, because they could not be scored."""
    if forecasts:
        keys = [key_of(forecast) for forecast in forecasts]
        connection.execute(load("release_forecasts"), _key_columns(timeframe, keys))


def key_of(forecast: StoredForecast) -> ForecastKey:
    """Return the key of a forecast."""
    return ForecastKey(forecast.symbol, forecast.as_of, forecast.model_name)


def upsert_scores(
    connection: psycopg.Connection[Any], timeframe: str, scores: Sequence[ForecastScore]
) -> tuple[int, int]:
    """Write scores and remember the closes that they were computed from, in one transaction.

    Returns
    -------
    new, changed
        How many scores were new, and how many changed a stored one.
    """
    if not scores:
        return 0, 0
    new = written = 0
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            load("upsert_score"), [_score_row(timeframe, score) for score in scores], returning=True
        )
        while True:
            for (inserted,) in cursor:
                new, written = new + inserted, written + 1
            if not cursor.nextset():
                break
        keys = [key_of(score.forecast) for score in scores]
        cursor.execute(load("remember_closes"), _key_columns(timeframe, keys))
    return new, written - new


def _score_row(timeframe: str, score: ForecastScore) -> dict[str, Any]:
    """Return the parameters of ``upsert_score.sql``."""
    forecast = score.forecast
    return {
        "symbol": forecast.symbol,
        "timeframe": timeframe,
        "as_of": forecast.as_of,
        "model_name": forecast.model_name,
        "model_version": forecast.model_version,
        "pred_len": len(forecast.timestamps),
        "matured_at": score.matured_at,
        "last_close": None if score.last_close != score.last_close else score.last_close,  # NaN
        "events_active": forecast.events_active,
        "forecast_updated_at": forecast.updated_at,
        "backfilled": forecast.backfilled,
        **score_lists(score.scores, score.events),
    }


def _key_columns(timeframe: str, keys: Sequence[ForecastKey]) -> dict[str, Any]:
    """Return keys as the parameters of the queries that take many."""
    return {
        "timeframe": timeframe,
        "symbols": [key.symbol for key in keys],
        "as_ofs": [key.as_of for key in keys],
        "model_names": [key.model_name for key in keys],
    }


def sample_threshold(count: int, most: int) -> int:
    """Return the share of `count` forecasts to read, of 2^20, so that they are about `most` or all."""
    return math.ceil(2**20 * min(1.0, most / count)) if count else 2**20


def read_steps(
    connection: psycopg.Connection[Any], timeframe: str, matured_after: datetime, matured_by: datetime
) -> tuple[pl.DataFrame, int]:
    """Read the scores of the forecasts that matured in a span, one row per step (`flows.scoring.steps`).

    Of more than `MOST_SHOWN` forecasts a sample of all symbols and instants is read, of about so many.

    Returns
    -------
    steps, count
        The rows, and how many forecasts matured in the span.
    """
    span = {"timeframe": timeframe, "matured_after": matured_after, "matured_by": matured_by}
    with connection.cursor(binary=True, row_factory=dict_row) as cursor:
        count: int = cursor.execute(load("count_scores"), span).fetchall()[0]["count"]
        threshold = sample_threshold(count, MOST_SHOWN)
        cursor.execute(load("scored_forecasts"), {**span, "threshold": threshold})
        parts = [steps_of(pl.DataFrame(rows, schema=WIDE_SCHEMA)) for rows in batches(cursor)]
    return (pl.concat(parts) if parts else steps_of(pl.DataFrame(schema=WIDE_SCHEMA))), count


def batches(cursor: psycopg.Cursor[Any]) -> Iterator[list[Any]]:
    """Yield the rows of a cursor a thousand at a time."""
    while rows := cursor.fetchmany(_ROWS):
        yield rows
