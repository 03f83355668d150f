"""Applies the migrations in ``sql/migrations``, forward only, without making the readers of a table wait.

What was applied is recorded in the table ``kronos_migrations``, not in the Supabase CLI's own: that tool
refuses to push once it finds versions there that its project has no files of. Who pushes these files with it
may still run this command, since every migration may run twice.
"""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from sql.errors import DatabaseError, one_line
from sql.loading import load

_FILE = re.compile(r"(?P<version>\d{14})_(?P<name>[a-z0-9_]+)\.sql")
_LOCK_KEY = int.from_bytes(b"kronos")
# A migration that meets a locked table gives up after 30 ms (migration_settings.sql) and tries again.
_TRIES = 60
_PAUSE_S = 0.25


@dataclass(frozen=True)
class Migration:
    """One file of ``sql/migrations``."""

    version: str  # UTC time stamp YYYYMMDDHHMMSS
    name: str
    text: LiteralString


@dataclass(frozen=True)
class Status:
    """A migration and when it was applied, in UTC; None while it is pending."""

    migration: Migration
    applied_at: datetime | None


def migrations() -> list[Migration]:
    """Return the migrations in their order.

    Raises
    ------
    DatabaseError
        If a file name is not ``<UTC time stamp>_<name>.sql``, or two files share a time stamp.
    """
    found: dict[str, Migration] = {}
    for file in resources.files("sql").joinpath("migrations").iterdir():
        match = _FILE.fullmatch(file.name)
        if match is None:
            raise DatabaseError(
                f"migration {file.name}: expected a name like 20261122190000_what_it_does.sql"
            )
        if match["version"] in found:
            raise DatabaseError(
                f"two migrations have the time stamp {match['version']}: rename the later one"
            )
        found[match["version"]] = Migration(match["version"], match["name"], file.read_text(encoding="utf-8"))
    return [found[version] for version in sorted(found)]


def status(connection: psycopg.Connection[Any]) -> list[Status]:
    """Return every migration with the time of its application; changes nothing.

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
    """Apply what is pending, each migration in its own transaction, and return it.

    Parameters
    ----------
    connection : psycopg.Connection
        In autocommit mode; its role must own the tables that exist.
    on_applied : callable
        Called after each migration.

    Raises
    ------
    DatabaseError
        If a migration fails; it is undone then, and those before it stay applied.
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
            done = _apply(connection, migration)
        except psycopg.Error as error:
            raise DatabaseError(
                f"migration {migration.version}_{migration.name} failed: {_explain(error)}"
            ) from None
        if done:
            on_applied(migration)
            yield migration


def _apply(connection: psycopg.Connection[Any], migration: Migration) -> bool:
    """Apply one migration unless it is recorded; return whether it was applied."""
    for tries_left in reversed(range(_TRIES)):
        try:
            return _attempt(connection, migration)
        except psycopg.errors.LockNotAvailable:
            if not tries_left:
                raise
            time.sleep(_PAUSE_S)
    raise AssertionError("unreachable")


def _attempt(connection: psycopg.Connection[Any], migration: Migration) -> bool:
    connection.execute("BEGIN")
    try:
        connection.execute(load("migration_lock"), {"key": _LOCK_KEY})
        if migration.version in _applied(connection):
            return False
        record = sql.SQL(load("migration_record"))
        # One message to the server: no table stays locked for the time of a network round trip.
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
    """Say what the server said, with the rows it listed and its advice."""
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return (
            f"a table stayed locked through {_TRIES} tries of 30 ms, because another session holds it in a "
            "long transaction; nothing was changed: end that transaction, or run this again later"
        )
    diag = error.diag
    if diag.message_primary is None:
        return one_line(error)
    return "\n".join(part for part in (diag.message_primary, diag.message_detail, diag.message_hint) if part)
