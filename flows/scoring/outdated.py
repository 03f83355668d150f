"""Deletes in batches what is no longer needed of old forecasts: sample paths, inputs, and whole rows.

Nothing is deleted that scoring, calibration or the page still needs: a forecast that is not scored in its
present state keeps everything, and the newest forecast of each symbol and model stays with its inputs.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import psycopg
from psycopg import sql

from flows.runtime.database import limited_transaction
from flows.scoring.calibration_store import LEARNED_FROM
from sql.loading import load, load_for_table

Kind = Literal["samples", "inputs", "forecasts"]

BATCH: Final = 1000
"""Rows of one transaction: milliseconds, in which other sessions wait for these rows alone."""

PAUSE_S: Final = 0.1
"""Seconds after so many rows, in which other sessions have the disk."""

RECHECKED: Final = timedelta(days=8)
"""Added to the span of a calibration: corrected candles count for a week after the horizon."""

_TABLES: Final = {"inputs": "prediction_inputs", "forecasts": "ml_predictions"}


@dataclass(frozen=True)
class Outdated:
    """What may go.

    Attributes
    ----------
    kind
        ``samples``: the sample paths of scored forecasts, which stay. ``inputs``: the rows of
        ``prediction_inputs``. ``forecasts``: scored forecasts with their inputs; their scores stay.
    before
        Forecasts whose last candle opened before this, or inputs that were stored before it; aware.
    """

    kind: Kind
    timeframe: str
    before: datetime


@dataclass(frozen=True)
class Size:
    """Number of rows, and the bytes that they take, without those of indexes."""

    rows: int
    bytes: int


def forecasts_before(timeframe: str, now: datetime, keep: timedelta) -> datetime:
    """Return the instant before which forecasts may go: a calibration still learns from later ones."""
    return now - max(keep, LEARNED_FROM[timeframe] + RECHECKED)


def measure_outdated(connection: psycopg.Connection[Any], outdated: Outdated) -> Size:
    """Return how much may go, in transactions of its own."""
    query = _query("measure_samples" if outdated.kind == "samples" else "measure_rows", outdated.kind)
    rows = size = 0
    for parameters in _parameters(connection, outdated):
        with limited_transaction(connection):
            found = connection.execute(query, parameters).fetchone()
        assert found is not None  # an aggregate
        rows, size = rows + found[0], size + found[1]
    return Size(rows, size)


def delete_outdated(
    connection: psycopg.Connection[Any], outdated: Outdated, batch: int = BATCH, pause_s: float = PAUSE_S
) -> int:
    """Delete what may go, `batch` rows in each transaction; return the number of rows.

    It may be interrupted at any time: what is committed stays deleted, and the next call goes on.
    """
    names = {"samples": "clear_samples", "inputs": "delete_inputs", "forecasts": "delete_forecasts"}
    query = _query(names[outdated.kind], outdated.kind)
    total = since_pause = 0
    for parameters in _parameters(connection, outdated):
        deleted = batch
        while deleted == batch:
            with limited_transaction(connection):
                deleted = connection.execute(query, {**parameters, "n": batch}).rowcount
            total, since_pause = total + deleted, since_pause + deleted
            if since_pause >= batch:
                time.sleep(pause_s)
                since_pause = 0
    return total


def _query(name: str, kind: Kind) -> sql.Composed:
    return sql.SQL(load(name)).format(outdated=sql.SQL(load(f"outdated_{kind}")))


def _parameters(connection: psycopg.Connection[Any], outdated: Outdated) -> Iterator[dict[str, Any]]:
    """Yield the parameters of each statement: one for all sample paths, else one for each symbol."""
    parameters = {"timeframe": outdated.timeframe, "before": outdated.before}
    if outdated.kind == "samples":  # an index holds the few forecasts that have some
        yield parameters
        return
    with limited_transaction(connection):
        symbols = connection.execute(load_for_table("symbols_of_table", _TABLES[outdated.kind])).fetchall()
    for (symbol,) in symbols:  # one by one: a batch then reads the key of one symbol's old rows, not of all
        yield {**parameters, "symbol": symbol}
