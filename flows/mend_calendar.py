"""``python -m flows.mend_calendar``: sets ``time_known`` to false for stored rows that are only dates.

These are the rows of a source whose times are all midnight, of UTC or of New York, and midnight releases of
the five tracked families of the United States, which are never published then. Nothing else is changed.
"""

import argparse
import sys
from typing import Any, Final

import polars as pl
import psycopg

from flows.events.arrays import column_instants
from flows.events.config import FAMILIES, EventConfig, EventError, load_config
from flows.events.dates import at_midnight
from flows.events.titles import currency_of, normal_title
from flows.files.calendar_files import KEY
from flows.runtime.table_columns import ECONOMIC_CALENDAR, part
from sql.connect import connect
from sql.errors import DatabaseError, one_line
from sql.loading import load

_COLUMNS: Final = part(
    ECONOMIC_CALENDAR, ("event_time", "event_type", "title", "country", "currency", "symbol", "source")
)


def mend_calendar(
    connection: psycopg.Connection[Any], config: EventConfig, *, dry_run: bool = False
) -> pl.DataFrame:
    """Set `time_known` to false for the stored rows of `dates_among`, in one transaction.

    Parameters
    ----------
    config
        Titles of the tracked families.
    dry_run
        Return the rows without changing them.

    Returns
    -------
    pl.DataFrame
        These rows: the natural key and source.

    Raises
    ------
    psycopg.Error
        The database fails; nothing is changed then.
    """
    with connection.transaction(), connection.cursor() as cursor:
        stored = pl.DataFrame(
            cursor.execute(load("calendar_times")).fetchall(), schema=_COLUMNS, orient="row"
        )
        dates = dates_among(stored, config)
        if not dry_run:
            cursor.executemany(load("mend_calendar"), dates.select(KEY).to_dicts())
    return dates


def dates_among(rows: pl.DataFrame, config: EventConfig) -> pl.DataFrame:
    """Return the rows at midnight whose time of day is unknown (see the module)."""
    midnight = pl.Series(at_midnight(column_instants(rows["event_time"])))
    family = [
        any(
            membership.series < len(FAMILIES)
            for membership in config.memberships.get(
                (currency_of(*origin) or "", normal_title(title or "")), []
            )
        )
        for *origin, title in rows.select("currency", "country", "source", "title").iter_rows()
    ]
    marked = rows.with_columns(midnight=midnight, family=pl.Series(family, dtype=pl.Boolean))
    dates = pl.col("midnight") & (pl.col("family") | pl.col("midnight").all().over("source"))
    return marked.filter(dates).select(rows.columns)


def main(arguments: list[str] | None = None, prog: str = "python -m flows.mend_calendar") -> int:
    """Run the command and return the exit status."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="say what would change, and change nothing")
    args = parser.parse_args(arguments)
    try:
        with connect(autocommit=True) as connection:
            dates = mend_calendar(connection, load_config(), dry_run=args.dry_run)
    except psycopg.errors.UndefinedTable as error:
        return _fail(f"{one_line(error)}; make the tables with `python -m sql migrate` first")
    except psycopg.Error as error:
        return _fail(one_line(error))
    except (DatabaseError, EventError) as error:
        return _fail(str(error))
    for source, count in dates.group_by("source", maintain_order=True).agg(pl.len()).iter_rows():
        print(f"{source or 'without a source'}: {count:,} rows at midnight are dates")
    print(f"{dates.height:,} rows {'would be ' if args.dry_run else ''}mended")
    return 0


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
