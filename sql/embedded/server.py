"""Starts and stops an embedded Postgres, which runs as a daemon until it is stopped.

Every start and stop holds the folder's lock, and only the postmaster of that folder is ever signalled.
"""

import os
import time
from pathlib import Path

import psycopg

from sql.embedded import pid_file
from sql.embedded.database_files import database_url, prepare_database
from sql.embedded.folder_lock import locked, other_owner
from sql.embedded.installation import Installation, find_installation
from sql.embedded.launch import PAUSE_S, launch, log_file
from sql.errors import DatabaseError

_TIMEOUT_S = 60.0  # recovery after a crash may take a while


def data_folder() -> Path:
    """Return the folder of the embedded Postgres: ``KRONOS_DATA_DIR``, else ``.data/postgres`` here."""
    return Path(os.environ.get("KRONOS_DATA_DIR") or Path(".data") / "postgres").resolve()


def start(folder: Path | None = None, *, same_port: bool = False) -> str:
    """Start the Postgres of a folder unless it runs, and return its URL.

    Parameters
    ----------
    folder : Path, optional
        `data_folder()` unless given; made if missing, with a new database.
    same_port : bool
        Whether it must have the port of its last start, because its URL is in use.

    Raises
    ------
    DatabaseError
        If the server can't start; the message quotes Postgres.
    """
    folder = (folder or data_folder()).resolve()
    with locked(folder) as lock:
        installation = find_installation(folder)
        prepare_database(installation, lock)
        return _start_and_wait(installation, folder, same_port=same_port)


def running(folder: Path | None = None) -> str | None:
    """Return the URL of a folder's Postgres, or None if it does not run; starts nothing.

    Raises
    ------
    DatabaseError
        If the folder belongs to another user.
    """
    folder = (folder or data_folder()).resolve()
    data = (folder / "data").resolve()
    try:
        port = None if pid_file.postmaster(data) is None else pid_file.port(data)
    except PermissionError as error:
        raise other_owner(folder, error) from None
    return None if port is None else database_url(data, port)


def stop(folder: Path | None = None) -> bool:
    """Stop the Postgres of a folder and wait for its end; return whether it was running.

    Raises
    ------
    DatabaseError
        If it does not stop.
    """
    folder = (folder or data_folder()).resolve()
    if not (folder / "data").exists():
        return False
    with locked(folder):
        installation = find_installation(folder)
        data = installation.data
        if pid_file.postmaster(data) is None:
            return False
        pg_ctl = installation.run(
            "pg_ctl", "stop", "-D", str(data), "-m", "fast", "-w", "-t", f"{_TIMEOUT_S:.0f}"
        )
        if pid_file.postmaster(data) is not None:
            raise DatabaseError(f"the Postgres in {folder} did not stop: {pg_ctl.stderr.strip()}")
        return True


def _start_and_wait(installation: Installation, folder: Path, *, same_port: bool) -> str:
    """Launch the postmaster unless it runs, wait until it accepts connections, and return its URL."""
    data = installation.data
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        if pid_file.postmaster(data) is None:
            launch(installation, _TIMEOUT_S, deadline, same_port=same_port)
        port = pid_file.port(data)
        if port is not None and _accepts(database_url(data, port)):
            return database_url(data, port)
        if time.monotonic() > deadline:
            raise DatabaseError(
                f"the Postgres in {folder} took no connection for {_TIMEOUT_S:.0f} s: see {log_file(data)}"
            )
        time.sleep(PAUSE_S)


def _accepts(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True
