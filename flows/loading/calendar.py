"""Checks the economic calendar of a file or a feed and stores it, in one transaction.

Single contradictory events may be left out, which a note names.
"""

from dataclasses import replace
from typing import Any

import polars as pl
import psycopg

from flows.files.calendar_files import CalendarFile, read_calendar_file
from flows.files.calendar_replace import Withdrawal, plan_withdrawal, withdraw
from flows.files.options import DEFAULT, ReadOptions
from flows.loading.rows import Loaded, copy_rows
from sql.loading import load


def load_calendar(
    connection: psycopg.Connection[Any],
    frame: pl.DataFrame,
    timezone: str | None = None,
    *,
    replace_schedule: bool = False,
    dry_run: bool = False,
    options: ReadOptions = DEFAULT,
) -> Loaded:
    """Upsert rows of the economic calendar, as `flows.files.calendar_files` takes them, in one transaction.

    Parameters
    ----------
    timezone
        Zone of times without one; that of the options, or UTC, unless given.
    replace_schedule, dry_run
        See `store_calendar`.
    options
        How the file is read where it leaves that open.

    Raises
    ------
    TableError
        Rows are refused.
    psycopg.Error
        The database fails; nothing is stored then.
    """
    file = read_calendar_file(frame, timezone, options)
    return store_calendar(connection, file, replace_schedule=replace_schedule, dry_run=dry_run)


def store_calendar(
    connection: psycopg.Connection[Any],
    file: CalendarFile,
    *,
    replace_schedule: bool = False,
    dry_run: bool = False,
) -> Loaded:
    """Upsert a checked calendar in one transaction.

    Parameters
    ----------
    replace_schedule
        Whether releases without figures that the file lacks are withdrawn
        (`flows.files.calendar_replace`).
    dry_run
        Report the changes without storing them.

    Raises
    ------
    psycopg.Error
        The database fails; nothing is stored then.
    """
    notes = list(file.notes)
    with connection.transaction() as transaction:
        plan = plan_withdrawal(connection, file.rows) if replace_schedule else None
        loaded = copy_rows(connection, file.rows, "calendar", load("upsert_calendar"))
        if plan is not None:
            withdraw(connection, plan.rows)
            notes += _withdrawal_notes(plan, dry_run=dry_run)
        if dry_run:
            raise psycopg.Rollback(transaction)
    return replace(loaded, notes=tuple(notes))


def _withdrawal_notes(plan: Withdrawal, *, dry_run: bool) -> list[str]:
    verb = "would be withdrawn" if dry_run else "withdrawn"
    return [
        *plan.notes,
        *(
            f"{verb}: {row['event_time']:%Y-%m-%d %H:%M} UTC {row['currency'] or row['symbol'] or ''} "
            f"{row['title']}"
            for row in plan.rows.to_dicts()
        ),
    ]
