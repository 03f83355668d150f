"""Reads the instruments of the database."""

from typing import Any

import psycopg

from market.aliases import with_packaged
from market.instruments import Instrument
from sql.loading import load


def known_instruments(connection: psycopg.Connection[Any]) -> dict[str, Instrument]:
    """Return every instrument by symbol: the table's, and the packaged ones that the table lacks."""
    return with_packaged(stored_instruments(connection))


def stored_instruments(connection: psycopg.Connection[Any]) -> dict[str, Instrument]:
    """Return the instruments of the table by symbol."""
    rows = connection.execute(load("instruments"))
    return {symbol: Instrument(symbol, *about) for symbol, *about, _ in rows}
