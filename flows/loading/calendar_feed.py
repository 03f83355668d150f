"""Loads the economic calendar from a file or an address, whole or not at all."""

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import polars as pl

from flows.files.calendar_files import CalendarFile, read_calendar_file
from flows.files.errors import TableError
from flows.files.options import DEFAULT, ReadOptions
from flows.loading.calendar import store_calendar
from flows.loading.completeness import days_of, why_shortened
from flows.loading.credentials import Credentials
from flows.loading.download import DownloadLimits
from flows.loading.history import FeedKey, FeedLoad, read_load, write_load
from flows.loading.rows import Loaded
from flows.loading.sources import Content, Item, named, read_item
from flows.runtime.run_database import RunDatabase

_TABLE = "economic_calendar"


@dataclass(frozen=True)
class CalendarFeed:
    """How the calendar of a feed is read.

    Attributes
    ----------
    timezone
        Zone of times without one; None for UTC.
    source
        What the column `source` is set to where the feed has none; None for the host of an address.
    replace_schedule
        Whether releases without figures that it lacks are withdrawn (`flows.files.calendar_replace`).
    least_share
        See `flows.loading.completeness.why_shortened`.
    limits
        Of its download.
    force
        Whether it is loaded although it is unchanged.
    options
        How it is read where it leaves that open.
    """

    timezone: str | None
    source: str | None
    replace_schedule: bool
    least_share: float
    limits: DownloadLimits
    force: bool
    options: ReadOptions = DEFAULT

    @property
    def read_as(self) -> dict[str, Any]:
        """The settings that decide which rows an unchanged feed becomes."""
        return {
            "source": self.source,
            "replace": self.replace_schedule,
            **self.options.as_json(),
            "timezone": self.timezone,
        }


def load_calendar_item(
    database: RunDatabase, item: Item, feed: CalendarFeed, credentials: Credentials
) -> Loaded | None:
    """Read a calendar and store it in one transaction.

    Returns
    -------
    Loaded or None
        None where it is unchanged since its last load.

    Raises
    ------
    TableError
        It is no calendar, or is refused, or shortened; nothing is stored then.
    SourceUnavailable, DatabaseError, psycopg.Error
        It or the database can't be reached; nothing is stored then.
    """
    key = FeedKey(_TABLE, item.source)
    with database.connection() as connection:
        before = read_load(connection, key)
    try:
        version = {} if feed.force else before.version
        content = read_item(item, credentials, feed.limits, version, feed.read_as)
        if content is None:
            return None
        file = _calendar_of(content, item, feed)
        days = days_of(file.rows["event_time"])
        shortened = why_shortened(before.days, days, feed.least_share)
        if shortened is not None:
            raise TableError(shortened)
    except TableError as error:
        raise credentials.without_secrets(named(error, item)) from None
    with database.connection() as connection:
        loaded = store_calendar(connection, file, replace_schedule=feed.replace_schedule)
        write_load(connection, key, FeedLoad(content.version, days))
    return loaded


def _calendar_of(content: Content, item: Item, feed: CalendarFeed) -> CalendarFile:
    file = read_calendar_file(content.frame, feed.timezone, feed.options)
    file = replace(file, notes=(*content.notes, *file.notes))
    if file.rows.is_empty():
        raise TableError(f"none of its {content.frame.height} rows can be used: {'; '.join(file.notes)}")
    source = feed.source or (urlsplit(item.url).hostname if item.url is not None else None)
    return replace(file, rows=file.rows.with_columns(pl.col("source").fill_null(pl.lit(source, pl.String))))
