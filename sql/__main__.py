"""Runs ``python -m sql migrate | status | start | stop | run | url``, the commands for the database."""

import argparse
import os
import sys
from collections.abc import Callable

import psycopg

from sql.connect import connect, database_url, without_password
from sql.errors import DatabaseError, one_line
from sql.migrate import Migration, migrate, status


def main(arguments: list[str] | None = None, prog: str = "python -m sql") -> int:
    """Run one command and return the exit status."""
    parser = argparse.ArgumentParser(prog=prog, description="The database: DATABASE_URL, or an embedded one.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, run in _COMMANDS.items():
        commands.add_parser(name, help=run.__doc__, description=run.__doc__)
    try:
        _COMMANDS[parser.parse_args(arguments).command]()
    except (DatabaseError, psycopg.Error) as error:
        message = one_line(error) if isinstance(error, psycopg.Error) else error
        print(f"error: {message}", file=sys.stderr)
        return 1
    return 0


def _migrate() -> None:
    """Apply the migrations that are pending."""

    def report(migration: Migration) -> None:
        print(f"applied {migration.version}_{migration.name}", flush=True)

    with connect(autocommit=True) as connection:
        connection.add_notice_handler(_print_warning)
        applied = migrate(connection, report)
    print(f"{len(applied)} applied, the database is up to date" if applied else "the database is up to date")


def _print_warning(notice: psycopg.errors.Diagnostic) -> None:
    """Print a warning that a migration raises; notices such as "relation already exists" are left out."""
    if notice.severity_nonlocalized == "WARNING":
        print(f"warning: {notice.message_primary}", flush=True)


def _status() -> None:
    """List the migrations and when each was applied (UTC)."""
    with connect(autocommit=True) as connection:
        for item in status(connection):
            state = f"{item.applied_at:%Y-%m-%d %H:%M:%S}" if item.applied_at else "pending"
            print(f"{item.migration.version}  {state:19}  {item.migration.name}")


def _start() -> None:
    """Start the embedded Postgres unless it runs (KRONOS_DATA_DIR, else .data/postgres) and print its URL."""
    _require_embedded("start")
    print(database_url())


def _stop() -> None:
    """Stop the embedded Postgres; the data stays."""
    _require_embedded("stop")
    from sql.embedded import server as embedded

    print("stopped" if embedded.stop() else f"no Postgres is running in {embedded.data_folder()}")


def _run() -> None:
    """Run the embedded Postgres until SIGTERM, for a process manager; exit with an error when it dies."""
    _require_embedded("run")
    from sql.embedded import keeper

    keeper.keep_running()


def _url() -> None:
    """Print the URL of the database without a password; starts the embedded Postgres if need be."""
    print(without_password(database_url()))


def _require_embedded(command: str) -> None:
    if os.environ.get("DATABASE_URL", "").strip():
        raise DatabaseError(
            f"DATABASE_URL is set, so there is no embedded Postgres to {command}: unset it first"
        )


_COMMANDS: dict[str, Callable[[], None]] = {
    "migrate": _migrate,
    "status": _status,
    "start": _start,
    "stop": _stop,
    "run": _run,
    "url": _url,
}

if __name__ == "__main__":
    sys.exit(main())
