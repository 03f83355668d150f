"""Applies the migrations in ``sql/migrations``, forward only, without blocking the readers of a table.

Applied migrations are recorded in a table of their own, ``kronos_migrations``. The Supabase CLI's table is
not used, because that tool refuses to push when it contains versions without a file in its project. A project
that pushes these files with the Supabase CLI may also run this command: every migration may run twice.

A migration and its record are sent in one message, with a lock timeout of 30 ms, and tried again when a table
is locked: a reader waits at most 30 ms behind a migration that waits for a lock.
"""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from sql.errors import DatabaseError, one_line
from sql.loading import load

_FILE = re.compile(r"(?P<version>\d{14})_(?P<name>[a-z0-9_]+)\.sql")
_RELATION = re.compile(
    r"^ *CREATE (?:OR REPLACE )?(?:TABLE|VIEW)(?: IF NOT EXISTS)? (\w+)", re.MULTILINE | re.IGNORECASE
)
RECORDS: Final = "kronos_migrations"
"""Table of the migrations that were applied."""
_LOCK_KEY = int.from_bytes(b"kronos")
# A migration that waits 30 ms for a lock fails (migration_settings.sql) and is tried again after a pause.
_ATTEMPTS = 60
_PAUSE_S = 0.25


@dataclass(frozen=True)
class Migration:
    """One file in ``sql/migrations``."""

    version: str  # UTC timestamp YYYYMMDDHHMMSS
    name: str
    text: LiteralString


@dataclass(frozen=True)
class Status:
    """A migration and when it was applied, in UTC; None while it is pending."""

    migration: Migration
    applied_at: datetime | None


def migrations() -> list[Migration]:
    """Return the migrations, ordered by version.

    Raises
    ------
    DatabaseError
        If a file name is not ``<UTC timestamp>_<name>.sql``, or two files share a timestamp.
    """
    by_version: dict[str, Migration] = {}
    for file in resources.files("sql").joinpath("migrations").iterdir():
        match = _FILE.fullmatch(file.name)
        if match is None:
            raise DatabaseError(
                f"migration {file.name}: expected a name like 20261122190000_what_it_does.sql"
            )
        if match["version"] in by_version:
            raise DatabaseError(
                f"two migrations have the time stamp {match['version']}: rename the later one"
            )
        text = file.read_text(encoding="utf-8")
        by_version[match["version"]] = Migration(match["version"], match["name"], text)
    return [by_version[version] for version in sorted(by_version)]


def relation_names() -> list[str]:
    """Return the names of the tables and views that the migrations make, and of their record."""
    found = (name for migration in migrations() for name in _RELATION.findall(migration.text))
    return list(dict.fromkeys([RECORDS, *found]))


def status(connection: psycopg.Connection[Any]) -> list[Status]:
    """Return every migration with the time when it was applied; changes nothing.

    Parameters
    ----------
    connection : psycopg.Connection
        In autocommit mode.
    """
    applied = _applied(connection)
    return [Status(migration, applied.get(migration.version)) for migration in migrations()]


def migrate(
    connection: psycopg.Connection[Any], on_applied: Callable[[Migration], None] = lambda migration: None
) -> list[Migration]:
    """Apply the pending migrations, each in its own transaction, and return them.

    Parameters
    ----------
    connection : psycopg.Connection
        In autocommit mode; its role must own the tables that exist.
    on_applied : callable
        Called after each migration.

    Raises
    ------
    DatabaseError
        If a migration fails. It is rolled back; the migrations before it stay applied.
    """
    if not connection.autocommit:
        raise DatabaseError("migrate() needs a connection in autocommit mode")
    return list(_apply_pending(connection, on_applied))


def _apply_pending(
    connection: psycopg.Connection[Any], on_applied: Callable[[Migration], None]
) -> Iterator[Migration]:
    try:
        with connection.transaction():
            connection.execute(load("migration_lock"), {"key": _LOCK_KEY})
            connection.execute(load("migrations_table"))
    except psycopg.Error as error:
        raise DatabaseError(f"can't record migrations in this database: {one_line(error)}") from None
    for migration in migrations():
        try:
            newly_applied = _apply(connection, migration)
        except psycopg.Error as error:
            raise DatabaseError(
                f"migration {migration.version}_{migration.name} failed: {_explain(error)}"
            ) from None
        if newly_applied:
            on_applied(migration)
            yield migration


def _apply(connection: psycopg.Connection[Any], migration: Migration) -> bool:
    """Apply one migration unless it is recorded; return whether it was applied."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return _attempt(connection, migration)
        except psycopg.errors.LockNotAvailable:
            time.sleep(_PAUSE_S)
    return _attempt(connection, migration)


def _attempt(connection: psycopg.Connection[Any], migration: Migration) -> bool:
    connection.execute("BEGIN")
    try:
        connection.execute(load("migration_lock"), {"key": _LOCK_KEY})
        if migration.version in _applied(connection):
            return False
        record = sql.SQL(load("migration_record"))
        # In one message, so that no table stays locked during a network round trip.
        script = sql.SQL("\n;\n").join(
            [
                sql.SQL(load("migration_settings")),
                sql.SQL(migration.text),
                record.format(version=sql.Literal(migration.version), name=sql.Literal(migration.name)),
                sql.SQL("COMMIT"),
            ]
        )
        connection.execute(script)
    finally:
        if not connection.closed and connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            connection.execute("ROLLBACK")
    return True


def _applied(connection: psycopg.Connection[Any]) -> dict[str, datetime]:
    exists = connection.execute(load("migrations_table_exists")).fetchone()
    if exists is None or not exists[0]:
        return {}
    return dict(connection.execute(load("migrations_applied")).fetchall())


def _explain(error: psycopg.Error) -> str:
    """Return the server's message with its detail (rows that break a key, say) and its hint."""
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return (
            f"a table stayed locked through {_ATTEMPTS} tries of 30 ms, because another session holds it "
            "in a long transaction; nothing was changed: end that transaction, or run this again later"
        )
    diag = error.diag
    if diag.message_primary is None:
        return one_line(error)
    return "\n".join(part for part in (diag.message_primary, diag.message_detail, diag.message_hint) if part)
