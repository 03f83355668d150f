"""Checks candles of a file or a feed, leaves out those that have not closed, and stores the others."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl
import psycopg

from flows.events.arrays import column_instants
from flows.files.candle_files import CandleRows, check_spacing, read_candles
from flows.files.candle_notes import candle_notes
from flows.files.errors import TableError
from flows.files.options import DEFAULT, ReadOptions
from flows.loading.rows import Loaded, copy_rows
from flows.runtime.candle_columns import stored_candles
from flows.runtime.instruments import known_instruments
from market import time_grid
from market.instruments import Instrument, default_instruments
from market.timeframes import CANDLE_TABLE
from market.times import instant
from sql.loading import load, load_for_table

_FEW: Final = 12  # candles of a symbol that are checked together with stored ones before them


@dataclass(frozen=True)
class CandleFile:
    """Candles after all checks, ready to store.

    Attributes
    ----------
    rows
        Columns of `flows.runtime.table_columns.CANDLES`, ordered by symbol and time.
    notes
        Sentences about columns and rows that were left out.
    understood
        Sentences about columns, zone, order and rows.
    """

    rows: pl.DataFrame
    notes: tuple[str, ...]
    understood: tuple[str, ...] = ()


def load_candles(
    connection: psycopg.Connection[Any],
    frame: pl.DataFrame,
    timeframe: str,
    symbols: list[str] | None = None,
    *,
    closed_by: datetime | None = None,
    options: ReadOptions = DEFAULT,
) -> Loaded:
    """Upsert candles and register symbols that the table ``instruments`` lacks, in one transaction.

    A few candles of a symbol are checked together with the stored ones before them.

    Parameters
    ----------
    connection
        Connection in autocommit mode.
    frame, timeframe, symbols, closed_by, options
        Passed to `read_candle_file`.

    Raises
    ------
    TableError
        Candles are refused, or a symbol is neither in ``instruments`` nor a default instrument.
    psycopg.Error
        The database fails; nothing is stored then.
    """
    known = known_instruments(connection)
    file = read_candle_file(known, frame, timeframe, symbols, closed_by=closed_by, options=options)
    return store_candles(connection, file, timeframe, known)


def read_candle_file(
    known: Mapping[str, Instrument],
    frame: pl.DataFrame,
    timeframe: str,
    symbols: list[str] | None = None,
    *,
    closed_by: datetime | None = None,
    options: ReadOptions = DEFAULT,
) -> CandleFile:
    """Check candles and give them the columns of the candle tables.

    Parameters
    ----------
    known
        Every instrument by symbol.
    frame, timeframe, symbols, options
        Passed to `flows.files.candle_files.read_candles`.
    closed_by
        Candles that had not closed by this aware instant are left out; None keeps all.

    Raises
    ------
    TableError
        Candles are refused, a symbol is unknown, or none of the candles had closed.
    """
    rows = read_candles(frame, timeframe, symbols, known, options)
    return closed_candles(known, rows, timeframe, closed_by=closed_by)


def closed_candles(
    known: Mapping[str, Instrument],
    read: CandleRows,
    timeframe: str,
    *,
    closed_by: datetime | None = None,
) -> CandleFile:
    """Return candles of known instruments without those that had not closed.

    Raises
    ------
    TableError
        A symbol is unknown, or none of the candles had closed.
    """
    candles, notes = read.rows, [*read.notes]
    _refuse_unknown(candles["symbol"].unique().to_list(), known)
    if closed_by is not None:
        candles, open_rows = _closed(candles, timeframe, known, closed_by)
        if open_rows and candles.is_empty():
            raise TableError(
                f"none of its {open_rows:,} candles had closed by {closed_by:%Y-%m-%d %H:%M} UTC"
            )
        if open_rows:
            notes.append(f"{open_rows:,} candles that had not closed were left out")
    return CandleFile(candles, tuple(notes), read.understood)


def store_candles(
    connection: psycopg.Connection[Any],
    file: CandleFile,
    timeframe: str,
    known: Mapping[str, Instrument],
    *,
    dry_run: bool = False,
) -> Loaded:
    """Upsert checked candles and register symbols that the table ``instruments`` lacks, in one transaction.

    Parameters
    ----------
    dry_run
        Report the changes without storing them.

    Raises
    ------
    TableError
        The candles are of another timeframe than the stored ones before them.
    psycopg.Error
        The database fails; nothing is stored then.
    """
    with connection.transaction() as transaction:
        _register(connection, file.rows["symbol"].unique().to_list())
        upsert = load_for_table("upsert_candles", CANDLE_TABLE[timeframe])
        loaded = copy_rows(connection, file.rows, "candles", upsert)
        checked = _with_stored_before(connection, file.rows, timeframe)
        check_spacing(checked, timeframe)
        notes = (*file.notes, *candle_notes(checked, timeframe, known))
        if dry_run:
            raise psycopg.Rollback(transaction)
    return replace(loaded, notes=notes)


def _closed(
    candles: pl.DataFrame, timeframe: str, known: Mapping[str, Instrument], by: datetime
) -> tuple[pl.DataFrame, int]:
    """Return the candles that had closed by an instant, and how many had not."""
    parts = [
        part.filter(
            pl.Series(
                time_grid.closed_by(known[str(symbol)], timeframe, column_instants(part["ts"]), instant(by))
            )
        )
        for (symbol,), part in candles.partition_by("symbol", as_dict=True, maintain_order=True).items()
    ]
    closed = pl.concat(parts) if parts else candles
    return closed, candles.height - closed.height


def _with_stored_before(
    connection: psycopg.Connection[Any], candles: pl.DataFrame, timeframe: str
) -> pl.DataFrame:
    """Return newly stored candles; symbols with fewer than `_FEW` also have their last ones before those."""
    few = pl.len().over("symbol") < _FEW
    short = candles.filter(few)
    if short.is_empty():
        return candles
    symbols = short["symbol"].unique().to_list()
    end = datetime.fromisoformat(str(short["ts"].max())) + timedelta(microseconds=1)
    return pl.concat([candles.filter(~few), stored_candles(connection, timeframe, symbols, _FEW, end)])


def _refuse_unknown(symbols: list[str], known: Mapping[str, Instrument]) -> None:
    unknown = sorted(set(symbols) - set(known))
    if unknown:
        raise TableError(
            f"the trading hours of {', '.join(unknown)} are unknown: first load a file with the columns "
            "symbol, asset_class, calendar (python -m flows.load instruments FILE), for example the line "
            f"{unknown[0]},equity,XNYS"
        )


def _register(connection: psycopg.Connection[Any], symbols: list[str]) -> None:
    """Insert the default instruments of symbols that the table ``instruments`` lacks."""
    stored = {row[0] for row in connection.execute(load("instruments"))}
    for symbol in sorted(set(symbols) - stored):
        connection.execute(load("register_instruments"), vars(default_instruments()[symbol]))
