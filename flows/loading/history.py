"""Remembers what each feed gave when it was last loaded, in the table ``feed_loads``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from flows.loading.completeness import DaysOfRows
from sql.loading import load


@dataclass(frozen=True)
class FeedKey:
    """What a feed is remembered under.

    Attributes
    ----------
    target
        The table that it is loaded into.
    source
        File or address, without secrets.
    symbol
        Empty for what concerns the source as a whole.
    """

    target: str
    source: str
    symbol: str = ""


@dataclass(frozen=True)
class FeedLoad:
    """What a feed gave.

    Attributes
    ----------
    version
        By which an unchanged file is recognised; empty where it can't be.
    days
        Rows by date.
    """

    version: Mapping[str, Any] = field(default_factory=dict)
    days: DaysOfRows = field(default_factory=dict)


def read_load(connection: psycopg.Connection[Any], key: FeedKey) -> FeedLoad:
    """Return what a feed gave at its last load; an empty one if it was never loaded.

    Raises
    ------
    psycopg.Error
        The table can't be read.
    """
    row = connection.execute(load("feed_load"), vars(key)).fetchone()
    if row is None:
        return FeedLoad()
    version, days, rows = row
    return FeedLoad(version, dict(zip(days, rows, strict=True)))


def write_load(connection: psycopg.Connection[Any], key: FeedKey, given: FeedLoad) -> None:
    """Remember what a feed gave, at the current time.

    Raises
    ------
    psycopg.Error
        The table can't be written.
    """
    values = {
        **vars(key),
        "version": Jsonb(dict(given.version)),
        "days": list(given.days),
        "day_rows": list(given.days.values()),
    }
    connection.execute(load("upsert_feed_load"), values)
