"""Writes rows to tables, and counts what was new, changed and unchanged.

A missing value never erases a stored one, and another value replaces it.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl
import psycopg
from psycopg.abc import Query
from rich.console import Console
from rich.progress import Progress

from sql.loading import load

_CHUNK: Final = 50_000  # rows sent to the server at once


@dataclass(frozen=True)
class Loaded:
    """Numbers of rows that were new, changed a stored row or were stored already, and notes on the file."""

    new: int
    changed: int
    unchanged: int
    notes: tuple[str, ...] = field(default=(), compare=False)


def copy_rows(connection: psycopg.Connection[Any], rows: pl.DataFrame, stage: str, upsert: Query) -> Loaded:
    """Copy rows to a staging table and upsert them from there, in the transaction that is open.

    Parameters
    ----------
    rows
        Columns in the order of the staging table.
    stage
        ``candles`` or ``calendar``: the queries ``stage_…`` and ``copy_…``.
    upsert
        Query that writes the staged rows and returns the numbers of new and of changed ones.

    Raises
    ------
    psycopg.Error
        The database fails.
    """
    connection.execute(load(f"stage_{stage}"))
    console = Console(stderr=True)
    with (
        Progress(console=console, transient=True, disable=not console.is_terminal) as progress,
        connection.cursor().copy(load(f"copy_{stage}")) as copy,
    ):
        task = progress.add_task("sending rows", total=rows.height)
        for chunk in rows.iter_slices(_CHUNK):
            copy.write(chunk.write_csv(include_header=False))
            progress.advance(task, chunk.height)
    written = connection.execute(upsert).fetchone()
    assert written is not None  # an aggregate has one row
    new, changed = written
    return Loaded(new, changed, rows.height - new - changed)
