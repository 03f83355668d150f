"""Prefect servers: one for flows in this process, and a whole one as `prefect server start` runs it."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from prefect import settings
from prefect.server.database.dependencies import provide_database_interface, temporary_database_interface
from prefect.settings import temporary_settings
from prefect.testing.utilities import prefect_test_harness

from tests.helpers.database_folders import folder_in_memory
from tests.helpers.once import once_for_all_workers

PATIENCE_S = 120.0

# They write to the SQLite file beside every run: the server then answers that it is locked, and the client
# waits for two seconds before it asks again. Tests of what they do have a whole server.
WITHOUT_SERVICES = dict.fromkeys(
    (
        settings.PREFECT_SERVER_ANALYTICS_ENABLED,
        settings.PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_ENABLED,
        settings.PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED,
        settings.PREFECT_SERVER_SERVICES_FOREMAN_ENABLED,
        settings.PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED,
        settings.PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_ENABLED,
        settings.PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED,
        settings.PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_ENABLED,
        settings.PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED,
    ),
    False,
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def new_prefect_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SQLite file of a new server, made once: its hundred migrations take as long as its start."""

    def make(folder: Path) -> None:
        folder.mkdir()
        url = f"sqlite+aiosqlite:///{folder / 'prefect.db'}"
        with (
            temporary_settings({settings.PREFECT_SERVER_DATABASE_CONNECTION_URL: url}),
            temporary_database_interface(),
        ):
            asyncio.run(provide_database_interface().create_db())

    return once_for_all_workers(tmp_path_factory, "new-prefect-database", make) / "prefect.db"


@contextmanager
def temporary_prefect_server(database: Path) -> Iterator[None]:
    """Prefect's own test server over a copy of a database, without the services that watch runs."""
    folder = tempfile.mkdtemp(prefix="kronos-test-prefect-", dir=folder_in_memory())  # the harness deletes it
    shutil.copy(database, Path(folder) / "prefect-test.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prefect.testing.utilities.mkdtemp", lambda: folder)
        with temporary_settings(WITHOUT_SERVICES), prefect_test_harness(server_startup_timeout=90):
            yield


@contextmanager
def prefect_server_process(folder: Path, **variables: str) -> Iterator[str]:
    """Run a Prefect server whose data is in a folder, and give the address of its API."""
    port = free_port()
    api_url = f"http://127.0.0.1:{port}/api"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": api_url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        **variables,
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _await_health(api_url, process, folder / "server.log")
        yield api_url
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # the command and the server that it starts; no data is needed
        process.wait()


def _await_health(api_url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while True:
        try:
            if httpx.get(f"{api_url}/health", trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < give_up, log.read_text()
        time.sleep(0.1)
