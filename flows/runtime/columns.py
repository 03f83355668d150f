"""Arrays of a query's rows as Polars columns, without a Python object for each value.

A query that gathers a symbol's values with ``array_agg`` sends them as one binary field, which NumPy reads
whole: 25 symbols × 394 candles took 3 ms of this process, 20 ms as tuples. It is an ordinary query, so a
transaction pooler passes it on, and instants are counted from 2000 in UTC whatever the session's time zone.
"""

from typing import Any, Final

import numpy as np
import polars as pl
import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format

_HEADER: Final = 20  # bytes: dimensions, whether there are NULLs, element type, length, lower bound
_EPOCH_US: Final = 946_684_800_000_000  # of 2000-01-01, from which Postgres counts microseconds
_FLOATS: Final = 1022  # OID of float8[], the same in every Postgres
_INSTANTS: Final = 1185  # of timestamptz[]


class _Numbers(Loader):
    """A float8[] as a Series; NULL stays null, NaN stays NaN."""

    format = Format.BINARY

    def load(self, data: Buffer) -> pl.Series:
        values, known = _elements(bytes(data), ">f8")
        series = pl.Series(values.astype(np.float64))
        return series if known is None else _nulls(series, known)


class _Instants(Loader):
    """A timestamptz[] as a Series of `pl.Datetime` in UTC; an infinite one has no place in it."""

    format = Format.BINARY

    def load(self, data: Buffer) -> pl.Series:
        values, known = _elements(bytes(data), ">i8")
        series = pl.Series(values.astype(np.int64) + _EPOCH_US).cast(pl.Datetime("us", "UTC"))
        return series if known is None else _nulls(series, known)


def column_cursor(connection: psycopg.Connection[Any]) -> psycopg.Cursor[Any]:
    """Return a cursor whose float8[] and timestamptz[] are Series, one-dimensional all of them."""
    cursor = connection.cursor(binary=True)
    cursor.adapters.register_loader(_FLOATS, _Numbers)
    cursor.adapters.register_loader(_INSTANTS, _Instants)
    return cursor


def _elements(data: bytes, kind: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the elements of a binary array of eight bytes each, and which are known where some are NULL."""
    if len(data) < _HEADER:  # no dimensions: an empty array
        return np.empty(0, kind), None
    if not int.from_bytes(data[4:8], "big"):
        return np.frombuffer(data, [("length", ">i4"), ("value", kind)], offset=_HEADER)["value"], None
    count = int.from_bytes(data[12:16], "big")
    values, known = np.zeros(count, kind), np.zeros(count, dtype=bool)
    place = _HEADER
    for number in range(count) if len(data) > _HEADER + 4 * count else ():
        length = int.from_bytes(data[place : place + 4], "big", signed=True)
        place += 4
        if length > 0:
            values[number] = np.frombuffer(data, kind, 1, place)[0]
            known[number] = True
            place += length
    return values, known


def _nulls(series: pl.Series, known: np.ndarray) -> pl.Series:
    return series.to_frame("value").select(pl.when(pl.Series(known)).then("value")).to_series()
