"""Stores instruments, whose aliases must not be names of others."""

from dataclasses import replace
from typing import Any

import polars as pl
import psycopg

from flows.files.errors import TableError
from flows.loading.rows import Loaded
from flows.loading.small_tables import load_rows
from flows.runtime.instruments import stored_instruments
from market.aliases import AliasConflict, check_aliases
from market.instruments import Instrument


def load_instruments(connection: psycopg.Connection[Any], rows: pl.DataFrame) -> Loaded:
    """Upsert instruments in one transaction.

    Parameters
    ----------
    rows
        Returned by `flows.files.instruments.instruments`.

    Raises
    ------
    TableError
        An alias is the symbol or an alias of another instrument, of the file or of the table.
    psycopg.Error
        The database fails; nothing is stored then.
    """
    with connection.transaction():
        _refuse_names_of_others(rows, stored_instruments(connection))
        return load_rows(connection, rows, "upsert_instruments")


def _refuse_names_of_others(rows: pl.DataFrame, stored: dict[str, Instrument]) -> None:
    after = dict(stored)
    for symbol, asset_class, calendar, aliases in rows.select(
        "symbol", "asset_class", "calendar", "aliases"
    ).iter_rows():
        instrument = after.get(symbol, Instrument(symbol, asset_class, calendar))
        after[symbol] = instrument if aliases is None else replace(instrument, aliases=aliases)
    try:
        check_aliases(after.values())
    except AliasConflict as error:
        raise TableError(str(error)) from None
