"""Reads the instruments of the database."""

from typing import Any

import psycopg

from market.instruments import Instrument, default_instruments
from sql.loading import load


def known_instruments(connection: psycopg.Connection[Any]) -> dict[str, Instrument]:
    """Return every instrument by symbol: the table's, and the packaged ones that the table lacks."""
    rows = connection.execute(load("instruments"))
    return default_instruments() | {symbol: Instrument(symbol, *about) for symbol, *about, _ in rows}
