"""Stores central bank decisions and economic series, whose tables are small."""

from collections.abc import Callable
from typing import Any, Final

import polars as pl
import psycopg

from flows.files import feeds
from flows.loading.rows import Loaded
from sql.loading import load

SMALL_TABLES: Final[dict[str, tuple[Callable[[pl.DataFrame], pl.DataFrame], str]]] = {
    "rates": (feeds.rates, "upsert_central_bank_rates"),
    "indicators": (feeds.indicators, "upsert_economic_indicators"),
}
"""The function that checks the rows of each, and the query that writes one."""


def load_rows(connection: psycopg.Connection[Any], rows: pl.DataFrame, query: str) -> Loaded:
    """Upsert a frame that has the columns of a small table, row by row, in one transaction.

    Parameters
    ----------
    rows
        Returned by a function of `flows.files.feeds`.
    query
        Name of an upsert that returns a row for each row that it wrote.

    Raises
    ------
    psycopg.Error
        The database fails; nothing is stored then.
    """
    new = written = 0
    with connection.transaction(), connection.cursor() as cursor:
        if not rows.is_empty():
            cursor.executemany(load(query), rows.to_dicts(), returning=True)
            while True:
                for (inserted,) in cursor:
                    new, written = new + inserted, written + 1
                if not cursor.nextset():
                    break
    return Loaded(new, written - new, rows.height - written)
