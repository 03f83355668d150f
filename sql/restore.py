"""Restores a file of `sql.backup` into an empty database: ``python -m sql.restore FILE [--replace]``.

Tables, rows, privileges and policies are restored in one transaction; then the migrations are applied that
are newer than the backup.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import psycopg
from psycopg import sql

from sql.backup_file import Manifest, read_backup
from sql.client_programs import failure, start_program
from sql.connect import connect, database_url, describe, normalise_url
from sql.errors import DatabaseError, one_line
from sql.loading import load, load_for_table
from sql.migrate import RECORDS, Migration, migrate, relation_names

# pg_restore writes it for every server; it is new in version 17.
_NEW_SETTING: Final = b"SET transaction_timeout = 0;\n"
_KNOWS_NEW_SETTING: Final = 170000


@dataclass(frozen=True)
class Restored:
    """What a restore did.

    Attributes
    ----------
    manifest
        Manifest of the backup.
    new_roles
        Roles that did not exist and were made, without the right to log in.
    migrations
        Migrations that are newer than the backup and were applied.
    """

    manifest: Manifest
    new_roles: tuple[str, ...]
    migrations: tuple[Migration, ...]


def main(arguments: list[str] | None = None, prog: str = "python -m sql.restore") -> int:
    """Restore a backup and return the exit status."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Restore a backup into DATABASE_URL or the embedded Postgres, which must have no rows.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="file that `kronos backup` wrote")
    parser.add_argument(
        "--replace",
        action="store_true",
        help="delete the rows that the database has, and restore those of FILE",
    )
    args = parser.parse_args(arguments)
    try:
        restored = restore(database_url(), args.file, replace=args.replace)
    except (DatabaseError, psycopg.Error) as error:
        print(f"error: {one_line(error) if isinstance(error, psycopg.Error) else error}", file=sys.stderr)
        return 1
    for name, count in restored.manifest.rows.items():
        print(f"{name}: {count:,} rows")
    if restored.new_roles:
        print(f"made without the right to log in: the roles {', '.join(restored.new_roles)}")
    for migration in restored.migrations:
        print(f"applied {migration.version}_{migration.name}")
    print(f"restored the backup of {restored.manifest.made_at:%Y-%m-%d %H:%M:%S} UTC")
    return 0


def restore(url: str, file: Path, *, replace: bool = False) -> Restored:
    """Restore a backup; the database is as it was before if that fails.

    Parameters
    ----------
    url
        A Postgres URL, of a role that may make tables.
    file
        File that `sql.backup` wrote.
    replace
        Whether rows that the database has are deleted.

    Raises
    ------
    DatabaseError
        The file is damaged, the database has rows, or it refuses the restore. Also if the number of rows is
        another one afterwards, because something else wrote to the database.
    """
    url = normalise_url(url)
    with tempfile.TemporaryDirectory(prefix="kronos-restore-") as scratch:
        dump = Path(scratch) / "database.dump"
        manifest = read_backup(file, dump)
        with connect(url, autocommit=True) as connection:
            _require_empty(connection, url, replace=replace)
            new_roles = _make_roles(connection, manifest.roles)
            _run(url, dump, connection.info.server_version)
            _drop_newer_tables(connection, manifest)
            _verify(connection, manifest)
            return Restored(manifest, new_roles, tuple(migrate(connection)))


def _require_empty(connection: psycopg.Connection[Any], url: str, *, replace: bool) -> None:
    filled = {
        name: count
        for name, count in _counts(connection, relation_names()).items()
        if count and name != RECORDS
    }
    if filled and not replace:
        listed = ", ".join(f"{count:,} in {name}" for name, count in filled.items())
        raise DatabaseError(
            f"{describe(url)} has rows: {listed}; "
            "restore into an empty database, or give --replace to delete these rows"
        )


def _counts(connection: psycopg.Connection[Any], names: list[str]) -> dict[str, int]:
    relations = connection.execute(load("our_relations"), {"names": names}).fetchall()
    counts = {}
    for _, name, is_table in relations:
        if is_table:
            (counts[name],) = connection.execute(load_for_table("count_rows", name)).fetchone() or (0,)
    return counts


def _make_roles(connection: psycopg.Connection[Any], roles: tuple[str, ...]) -> tuple[str, ...]:
    """Make the roles that privileges and policies name and the server lacks, and return them."""
    missing = tuple(role for (role,) in connection.execute(load("missing_roles"), {"names": list(roles)}))
    try:
        with connection.transaction():
            for role in missing:
                connection.execute(sql.SQL(load("make_role")).format(role=sql.Identifier(role)))
    except psycopg.errors.InsufficientPrivilege:
        raise DatabaseError(
            f"the backup has privileges for the roles {', '.join(missing)}, which this server lacks and this "
            "user may not make: make them first (CREATE ROLE …)"
        ) from None
    return missing


def _run(url: str, dump: Path, server_version: int) -> None:
    """Run the statements of a dump in one transaction, in place of the tables that are there.

    They pass through this process, because ``pg_restore`` writes a setting that older servers refuse. psql
    commits where its input ends, so it is stopped before that if ``pg_restore`` fails.
    """
    contents = dump.with_name("contents")
    contents.write_bytes(_records_first(_contents(dump)))
    options = ["--file=-", "--clean", "--if-exists", "--no-owner", f"--use-list={contents}", str(dump)]
    session = ["--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", "--file=-"]
    with (
        tempfile.TemporaryFile() as reader_errors,
        tempfile.TemporaryFile() as runner_errors,
        start_program("pg_restore", options, None, reader_errors, stdout=subprocess.PIPE) as reader,
        start_program("psql", session, url, runner_errors, stdin=subprocess.PIPE) as runner,
    ):
        assert reader.stdout is not None
        assert runner.stdin is not None
        refused = not _copied(reader.stdout, runner.stdin, server_version)
        reader.stdout.close()
        if reader.wait() and not refused:
            runner.kill()
            raise failure("pg_restore", reader_errors)
        with suppress(BrokenPipeError):
            runner.stdin.close()
        if runner.wait():
            raise failure("psql", runner_errors)


def _contents(dump: Path) -> bytes:
    """Return the table of contents of a dump, as ``pg_restore --list`` prints it."""
    with (
        tempfile.TemporaryFile() as errors,
        start_program("pg_restore", ["--list", str(dump)], None, errors, stdout=subprocess.PIPE) as process,
    ):
        contents, _ = process.communicate()
        if process.returncode:
            raise failure("pg_restore", errors)
        return contents


def _records_first(contents: bytes) -> bytes:
    """Move the table of the applied migrations to the front: a migration compares the tables' age with it."""
    lines = contents.splitlines(keepends=True)
    records = re.compile(rf" TABLE \S+ {RECORDS} ".encode())
    return b"".join(sorted(lines, key=lambda line: records.search(line) is None))


def _copied(source: IO[bytes], target: IO[bytes], server_version: int) -> bool:
    """Copy statements, without the setting that a server does not know; return whether all were taken."""
    try:
        for line in source:
            if line != _NEW_SETTING or server_version >= _KNOWS_NEW_SETTING:
                target.write(line)
            if line == _NEW_SETTING:
                break
        shutil.copyfileobj(source, target)
    except BrokenPipeError:
        return False
    return True


def _drop_newer_tables(connection: psycopg.Connection[Any], manifest: Manifest) -> None:
    """Drop the tables that are newer than the backup: the migrations make them again."""
    for name in _counts(connection, relation_names()):
        if name not in manifest.rows:
            connection.execute(load_for_table("drop_table", name))


def _verify(connection: psycopg.Connection[Any], manifest: Manifest) -> None:
    counts = _counts(connection, list(manifest.rows))
    differing = [
        f"{name} has {counts.get(name, 0):,} rows, the backup {count:,}"
        for name, count in manifest.rows.items()
        if counts.get(name) != count
    ]
    if differing:
        raise DatabaseError(
            f"the database was restored, but {'; '.join(differing)}: does something else write to it? "
            "Stop that, and restore again with --replace"
        )


if __name__ == "__main__":
    sys.exit(main())
