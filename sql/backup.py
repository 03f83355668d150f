"""Writes the product's tables to one file, from one snapshot: ``python -m sql.backup FILE``.

The readers and writers of the database go on meanwhile. `sql.restore` reads the file.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import psycopg

from sql.backup_file import FORMAT, Manifest, write_backup
from sql.client_programs import failure, start_program
from sql.connect import connect, database_url, normalise_url
from sql.errors import DatabaseError, one_line
from sql.loading import load, load_for_table
from sql.migrate import relation_names, status


def main(arguments: list[str] | None = None, prog: str = "python -m sql.backup") -> int:
    """Make a backup and return the exit status."""
    parser = argparse.ArgumentParser(
        prog=prog, description="Write all tables of DATABASE_URL, or of the embedded Postgres, to one file."
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="file to write; must not exist")
    file: Path = parser.parse_args(arguments).file
    try:
        manifest = backup(database_url(), file)
    except (DatabaseError, psycopg.Error) as error:
        print(f"error: {one_line(error) if isinstance(error, psycopg.Error) else error}", file=sys.stderr)
        return 1
    print(f"{file}: {sum(manifest.rows.values()):,} rows of {len(manifest.rows)} tables, ", end="")
    print(f"{file.stat().st_size / 2**20:,.1f} MiB, as of {manifest.made_at:%Y-%m-%d %H:%M:%S} UTC")
    return 0


def backup(url: str, file: Path) -> Manifest:
    """Write the tables and views that the migrations make to a file, and return its manifest.

    Parameters
    ----------
    url
        A Postgres URL. Behind a pooler give the direct address, or its port for sessions.
    file
        Must not exist.

    Raises
    ------
    DatabaseError
        The database can't be reached or has none of the tables, ``pg_dump`` fails (as it does for a role that
        row level security hides rows from), or the file can't be written. Nothing is left of the file then.
    psycopg.Error
        The database fails while rows are counted.
    """
    url = normalise_url(url)
    with connect(url) as connection:
        connection.rollback()
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        (snapshot,) = connection.execute(load("export_snapshot")).fetchone() or ("",)
        manifest = _manifest(connection)
        # The transaction stays open: the snapshot exists as long as it does.
        write_backup(file, manifest, lambda stream: _dump(url, manifest, str(snapshot), stream))
    return manifest


def _manifest(connection: psycopg.Connection[Any]) -> Manifest:
    names = {"names": relation_names()}
    relations = connection.execute(load("our_relations"), names).fetchall()
    schemas = {schema for schema, _, _ in relations}
    if not relations:
        raise DatabaseError(
            "this database has none of the tables, so there is nothing to back up: "
            "is DATABASE_URL the right one? `python -m sql migrate` makes the tables"
        )
    if len(schemas) > 1:
        raise DatabaseError(
            f"the tables are in several schemas ({', '.join(sorted(schemas))}), which a backup can't hold: "
            "set one search_path for the role of DATABASE_URL"
        )
    rows = {}
    for _, name, is_table in relations:
        if is_table:
            (rows[name],) = connection.execute(load_for_table("count_rows", name)).fetchone() or (0,)
    return Manifest(
        format=FORMAT,
        made_at=datetime.now(UTC),
        postgres=str(connection.info.parameter_status("server_version")).split()[0],
        migrations=tuple(item.migration.version for item in status(connection) if item.applied_at),
        rows=rows,
        views=tuple(name for _, name, is_table in relations if not is_table),
        schema=schemas.pop(),
        roles=tuple(role for (role,) in connection.execute(load("roles_with_rights"), names)),
    )


def _dump(url: str, manifest: Manifest, snapshot: str, stream: IO[bytes]) -> None:
    """Write the dump of the manifest's relations, as a snapshot shows them."""
    relations = [f'--table="{manifest.schema}"."{name}"' for name in (*manifest.rows, *manifest.views)]
    with tempfile.TemporaryFile() as errors:
        with start_program(
            "pg_dump",
            ["--format=custom", f"--snapshot={snapshot}", *relations],
            url,
            errors,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            try:
                shutil.copyfileobj(process.stdout, stream)
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            raise failure("pg_dump", errors)


if __name__ == "__main__":
    sys.exit(main())
