"""The embedded Postgres under a process manager: one process that starts, follows and stops it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from sql.embedded import launch
from sql.embedded import server as embedded
from tests.helpers.database_folders import database_folder

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that root's server account can enter, with a new database in it."""
    with database_folder("test-keeper") as parent:
        folder = parent / "postgres"
        embedded.start(folder)
        yield folder
        embedded.stop(folder)


@contextmanager
def keeper(folder: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    process = subprocess.Popen(
        [sys.executable, "-m", "sql", "run"],
        env=environment | {"KRONOS_DATA_DIR": str(folder)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def wait_for(condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def accepts(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def error_of(process: subprocess.Popen[str]) -> str:
    _, error = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    return error


def test_it_stops_the_server_on_sigterm_and_starts_it_at_its_address(folder: Path) -> None:
    url = embedded.start(folder)
    embedded.stop(folder)
    with keeper(folder) as process:
        wait_for(lambda: accepts(url))
        assert embedded.running(folder) == url
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    assert embedded.running(folder) is None


def test_a_killed_server_ends_it_and_a_killed_keeper_leaves_the_server(folder: Path) -> None:
    embedded.start(folder)
    postmaster = int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])
    with keeper(folder) as process:
        time.sleep(0.1)  # at any time of its start
        process.kill()
        process.wait()
        assert embedded.running(folder) is not None
    with keeper(folder) as process:
        os.kill(postmaster, signal.SIGKILL)
        # It starts the server again where it had not looked at it yet.
        if embedded.running(folder) is None:
            wait_for(lambda: process.poll() is not None or embedded.running(folder))
        if process.poll() is not None:
            assert "has ended: see " in error_of(process)


def test_a_port_that_another_program_took_is_an_error_and_not_another_address(folder: Path) -> None:
    url = embedded.start(folder)
    embedded.stop(folder)
    port = int((folder / "port").read_text())
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        with keeper(folder) as process:
            assert (
                f"port {port} of 127.0.0.1, which the database had, is taken by another program"
                in error_of(process)
            )
    assert int((folder / "port").read_text()) == port
    assert embedded.start(folder) == url


def test_a_log_that_grows_is_rotated_while_the_server_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = embedded.start(folder)
    data = (folder / "data").resolve()
    log = launch.log_file(data)
    monkeypatch.setattr(launch, "LARGEST_LOG", 100)
    with psycopg.connect(url, autocommit=True) as connection:
        for mark in ("before", "after"):
            with pytest.raises(psycopg.Error):
                connection.execute(f"SELECT '{mark}' FROM no_such_table".encode())
            if mark == "before":
                launch.rotate_log(data)
    assert "before" in log.with_name("server.log.1").read_text()
    assert "after" in log.read_text()
    assert "before" not in log.read_text()
