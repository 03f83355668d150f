"""Stores the tables of a market: hourly and daily candles and the economic calendar."""

from collections.abc import Mapping
from typing import Any

import polars as pl
import psycopg

from flows.loading.calendar import load_calendar
from flows.loading.candles import load_candles
from market.timeframes import TIMEFRAMES


def load_market(connection: psycopg.Connection[Any], frames: Mapping[str, pl.DataFrame]) -> list[str]:
    """Load candles and a calendar by the names of `flows.files.market_folder.FILES`; return notes on them.

    Parameters
    ----------
    connection
        In autocommit mode. Each frame is loaded in a transaction of its own.

    Raises
    ------
    TableError
        Rows are refused.
    psycopg.Error
        The database fails.
    """
    notes = []
    for timeframe in TIMEFRAMES:
        name = f"candles_{timeframe}"
        if name in frames:
            load_candles(connection, frames[name], timeframe)
    if "economic_calendar" in frames:
        loaded = load_calendar(connection, frames["economic_calendar"])
        notes += [f"economic_calendar: {note}" for note in loaded.notes]
    return notes
