"""Stored forecasts, their scores, and the span of scores that a summary is made of: reads and writes."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple

import polars as pl
import psycopg
from psycopg.rows import class_row, dict_row

from flows.scoring.steps import WIDE_SCHEMA, steps_of
from sql.loading import load

_ROWS = 1000  # of forecasts held as Python objects at once


class ForecastKey(NamedTuple):
    """Which forecast of a timeframe."""

    symbol: str
    as_of: datetime
    model_name: str


@dataclass(frozen=True)
class StoredForecast:
    """A row of ``ml_predictions`` as scoring reads it; lists have pred_len entries, `samples` one a path."""

    symbol: str
    as_of: datetime
    model_name: str
    model_version: str | None
    timestamps: list[datetime]
    p10: list[float]
    p50: list[float]
    p90: list[float]
    p10_calibrated: list[float] | None
    p90_calibrated: list[float] | None
    samples: list[list[float]] | None
    events_active: list[str]
    updated_at: datetime | None


@dataclass(frozen=True)
class ScoreRow:
    """A row of ``prediction_scores``, without the times that the database keeps itself; see its migration."""

    symbol: str
    timeframe: str
    as_of: datetime
    model_name: str
    model_version: str | None
    pred_len: int
    matured_at: datetime
    last_close: float | None
    actual: list[float | None]
    covered: list[bool | None]
    covered_calibrated: list[bool | None] | None
    pinball: list[float | None]
    abs_error: list[float | None]
    direction_hit: list[bool | None]
    crps: list[float | None] | None
    events_active: list[str]
    step_events: list[str] | None
    event_day: list[bool] | None
    forecast_updated_at: datetime | None


def forecasts_to_score(
    connection: psycopg.Connection[Any], timeframe: str, as_of: datetime, recheck_from: datetime
) -> list[ForecastKey]:
    """Return which forecasts are due at an instant, oldest first.

    Parameters
    ----------
    recheck_from
        Those that matured after it are due again, because their candles may have been corrected.
    """
    given = {"timeframe": timeframe, "as_of": as_of, "recheck_from": recheck_from}
    return [ForecastKey(*row) for row in connection.execute(load("forecasts_to_score"), given)]


def read_forecasts(
    connection: psycopg.Connection[Any], timeframe: str, keys: Sequence[ForecastKey]
) -> list[StoredForecast]:
    """Read the forecasts of some keys."""
    given = {
        "timeframe": timeframe,
        "symbols": [key.symbol for key in keys],
        "as_ofs": [key.as_of for key in keys],
        "model_names": [key.model_name for key in keys],
    }
    with connection.cursor(binary=True, row_factory=class_row(StoredForecast)) as cursor:
        return cursor.execute(load("forecasts_by_key"), given).fetchall()


def upsert_scores(connection: psycopg.Connection[Any], rows: Sequence[ScoreRow]) -> tuple[int, int]:
    """Write scores in one transaction; return how many were new, and how many changed a stored one."""
    new = written = 0
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(load("upsert_score"), [asdict(row) for row in rows], returning=True)
        while rows:
            for (inserted,) in cursor:
                new, written = new + inserted, written + 1
            if not cursor.nextset():
                break
    return new, written - new


def read_steps(
    connection: psycopg.Connection[Any], timeframe: str, matured_after: datetime, matured_by: datetime
) -> pl.DataFrame:
    """Read the scores of the forecasts that matured in a span, one row per step (`flows.scoring.steps`)."""
    given = {"timeframe": timeframe, "matured_after": matured_after, "matured_by": matured_by}
    with connection.cursor(binary=True, row_factory=dict_row) as cursor:
        cursor.execute(load("scored_forecasts"), given)
        parts = [steps_of(pl.DataFrame(rows, schema=WIDE_SCHEMA)) for rows in batches(cursor)]
    return pl.concat(parts) if parts else steps_of(pl.DataFrame(schema=WIDE_SCHEMA))


def batches(cursor: psycopg.Cursor[Any]) -> Iterator[list[Any]]:
    """Give the rows of a cursor a thousand at a time."""
    while rows := cursor.fetchmany(_ROWS):
        yield rows


def delete_samples(connection: psycopg.Connection[Any], timeframe: str, matured_before: datetime) -> int:
    """Forget the sample paths of scored forecasts that matured before an instant; return how many had any."""
    given = {"timeframe": timeframe, "matured_before": matured_before}
    with connection.transaction():
        return connection.execute(load("delete_samples"), given).rowcount
