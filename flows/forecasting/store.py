"""Writes forecasts to ml_predictions, one row each, which a rerun replaces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from sql.loading import load

BY_KEY: Final = attrgetter("symbol", "timeframe", "as_of", "model_name")
"""The key of a forecast's row, in whose order rows are written."""


@dataclass(frozen=True)
class PredictionRow:
    """One row of ``ml_predictions``, without the times that the database keeps itself.

    Attributes
    ----------
    as_of
        Timestamp of the last candle used, aware.
    timestamps, p10, p50, p90
        One entry per future candle; quantiles of close in price units.
    event_context
        Summary of the events, or None (stored as SQL NULL) if none is active or none were used.
    p10_calibrated, p90_calibrated
        The envelope after calibration, or None if no calibration is learned yet.
    samples
        Close of every sample path, sample_count lists of pred_len, or None if they are not stored.
    warnings
        Warnings of the run and the server, each beginning with its code; None if there are none.
    fingerprint
        Hash of its inputs (`flows.forecasting.fingerprint`), or None if the next run makes it again.
    statistics
        Quantiles, probabilities and realised volatility as the server answers them
        (`inference_server.schemas.Statistics`), or None (stored as SQL NULL) where none were asked for.
    """

    symbol: str
    timeframe: str
    as_of: datetime
    model_name: str
    model_version: str
    pred_len: int
    timestamps: list[datetime]
    p10: list[float]
    p50: list[float]
    p90: list[float]
    seed: int
    event_context: dict[str, Any] | None
    p10_calibrated: list[float] | None = None
    p90_calibrated: list[float] | None = None
    samples: list[list[float]] | None = None
    warnings: list[str] | None = None
    fingerprint: str | None = None
    statistics: dict[str, Any] | None = None


def upsert_prediction(connection: psycopg.Connection[Any], row: PredictionRow) -> None:
    """Write one forecast; see `upsert_predictions`."""
    upsert_predictions(connection, [row])


def upsert_predictions(connection: psycopg.Connection[Any], rows: Sequence[PredictionRow]) -> None:
    """Write forecasts; a row with the same symbol, timeframe, as_of and model name is replaced.

    In one transaction, so that readers and a killed run see whole rows or none. Within a transaction of the
    caller's it is part of that, else it is committed. Rows are written in the order of their keys: of two
    runs that write the same rows at once, one waits for the other, and no deadlock ends either.
    """
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(load("upsert_prediction"), [_parameters(row) for row in sorted(rows, key=BY_KEY)])


def insert_backfilled(connection: psycopg.Connection[Any], rows: Sequence[PredictionRow]) -> list[bool]:
    """Write forecasts of past instants, made afterwards, in one transaction.

    Returns
    -------
    list of bool
        For each row whether it was written: not where a live forecast is stored, nor where no live forecast
        of the same symbol, timeframe and model has a later as_of.
    """
    written = []
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            load("upsert_backfilled_prediction"), [_parameters(row) for row in rows], returning=True
        )
        while rows:
            written.append(cursor.fetchone() is not None)
            if not cursor.nextset():
                break
    return written


def _parameters(row: PredictionRow) -> dict[str, Any]:
    """Return the parameters of a query that writes a row."""
    columns = dict(vars(row))  # asdict would copy every list
    for name in ("event_context", "statistics"):
        if columns[name] is not None:
            columns[name] = Jsonb(columns[name])
    return columns


def unchanged_predictions(
    connection: psycopg.Connection[Any],
    timeframe: str,
    model_name: str,
    fingerprints: Mapping[tuple[str, datetime], str],
) -> dict[str, PredictionRow]:
    """Return the stored rows with the fingerprints of a run, by symbol, without their samples.

    Parameters
    ----------
    fingerprints
        Fingerprints of the run's forecasts, by symbol and as_of.
    """
    parameters = {
        "timeframe": timeframe,
        "model_name": model_name,
        "symbols": [symbol for symbol, _ in fingerprints],
        "as_ofs": [as_of for _, as_of in fingerprints],
        "fingerprints": list(fingerprints.values()),
    }
    with connection.cursor(binary=True, row_factory=class_row(PredictionRow)) as cursor:
        return {row.symbol: row for row in cursor.execute(load("unchanged_predictions"), parameters)}
