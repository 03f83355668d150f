"""Runs Postgres, two inference servers, a Prefect server and a worker, and kills and restarts them."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import httpx
import psutil

from benchmarks.chaos.market import add_market
from benchmarks.chaos.prefect_api import WORK_POOL, PrefectApi
from flows.runtime.local_server import free_port
from sql.connect import connect
from sql.embedded import pid_file
from sql.embedded import server as embedded
from sql.migrate import migrate

ROOT: Final = Path(__file__).resolve().parents[2]
KINDS: Final = ("worker", "flow", "inference server", "prefect server", "postgres")
PATIENCE_S: Final = 180.0
_MARK: Final = "CHAOS_INSTALLATION"  # by which the processes of this installation are found, orphans too
_OF_A_RUN: Final = "PREFECT__FLOW_RUN_ID"  # which a worker gives to the process of a run


class InstallationError(RuntimeError):
    """A part did not start in time."""


@dataclass
class Program:
    """A process with a session of its own, so that its children are killed with it."""

    command: list[str]
    environment: dict[str, str]
    log: Path
    ready: Callable[[], bool]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command, env=self.environment, stdout=output, stderr=output, start_new_session=True
            )

    def kill(self, *, with_children: bool = True) -> None:
        """End it with SIGKILL, if it runs."""
        if self.process is None:
            return
        if with_children:
            _kill_group(self.process.pid)
        self.process.kill()
        self.process.wait()

    def wait_until_ready(self) -> None:
        wait_for(self.ready, f"{' '.join(self.command[1:4])} to be ready", self.log)


class Installation:
    """Everything that scheduled forecasts need, in a temporary folder and on free ports; a context manager.

    Parameters
    ----------
    bundle
        What both inference servers serve.

    Attributes
    ----------
    database_url
        Of the embedded Postgres, which holds the market of `benchmarks.chaos.market`.
    prefect
        The Prefect server.
    prefect_home
        Folder of that server; a database that it finds there is used.
    """

    def __init__(self, bundle: Path) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="kronos-chaos-"))
        self._folder.chmod(0o711)  # for root, the account that runs Postgres has to enter
        self._identity = uuid.uuid4().hex
        self._postgres = self._folder / "postgres"
        self.prefect_home = self._folder / "prefect"
        self.database_url = ""
        self._servers = {free_port(): bundle for _ in range(2)}
        self._prefect_port = free_port()
        self.prefect = PrefectApi(f"http://127.0.0.1:{self._prefect_port}/api")
        self._programs: dict[str, Program] = {}

    def __enter__(self) -> Self:
        try:
            self.database_url = embedded.start(self._postgres)
            self._programs = self._make_programs()
            for program in self._programs.values():
                program.start()
            with connect(self.database_url, autocommit=True) as connection:
                migrate(connection)
                add_market(connection)
            for program in self._programs.values():
                program.wait_until_ready()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def kill(self, kind: str, choose: random.Random) -> Callable[[], object]:
        """Kill a part; returns what starts it again and waits until it is ready."""
        if kind == "flow":
            self.kill_runs()
            return lambda: None
        if kind == "postgres":
            process_id = pid_file.postmaster((self._postgres / "data").resolve())
            if process_id is not None:
                os.kill(process_id, signal.SIGKILL)
            return lambda: embedded.start(self._postgres)
        names = [name for name in self._programs if name.startswith(kind)]
        program = self._programs[choose.choice(names)]
        program.kill(with_children=kind != "worker")  # the worker's runs go on

        def restart() -> None:
            program.start()
            program.wait_until_ready()

        return restart

    def runs(self) -> list[psutil.Process]:
        """The processes of flow runs."""
        return [process for process in self._processes() if _OF_A_RUN in _environment(process)]

    def kill_runs(self) -> None:
        """Kill the processes of flow runs."""
        for process in self.runs():
            _kill(process)

    def _processes(self) -> list[psutil.Process]:
        return [
            process for process in psutil.process_iter() if _environment(process).get(_MARK) == self._identity
        ]

    def _make_programs(self) -> dict[str, Program]:
        python, logs = sys.executable, self._folder
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("KRONOS_", "PREFECT_")) and name != "DATABASE_URL"
        }
        environment = kept | {
            _MARK: self._identity,
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": self.database_url,
            "KRONOS_SERVERS": ",".join(_address(port) for port in self._servers),
            "PREFECT_HOME": str(self.prefect_home),
            "PREFECT_API_URL": f"http://127.0.0.1:{self._prefect_port}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_UI_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "DO_NOT_TRACK": "1",
        }
        programs = {
            f"inference server {port}": inference_server(bundle, port, environment, logs / f"{port}.log")
            for port, bundle in self._servers.items()
        }
        prefect = [python, "-m", "prefect"]
        programs["prefect server"] = Program(
            [*prefect, "server", "start", "--host", "127.0.0.1", "--port", str(self._prefect_port)],
            environment,
            logs / "prefect-server.log",
            self.prefect.ready,
        )
        programs["worker"] = Program(
            [*prefect, "worker", "start", "--pool", WORK_POOL, "--type", "process"],
            environment,
            logs / "worker.log",
            lambda: True,  # whether it works shows in the run that follows
        )
        return programs

    def _end(self) -> None:
        self.prefect.close()
        for process in self._processes():
            _kill(process)
        for program in self._programs.values():
            program.kill()
        embedded.stop(self._postgres)
        shutil.rmtree(self._folder, ignore_errors=True)


def inference_server(bundle: Path, port: int, environment: dict[str, str], log: Path) -> Program:
    """An inference server that serves a bundle with one thread."""
    settings = {"KRONOS_BUNDLE": str(bundle), "KRONOS_PORT": str(port), "KRONOS_THREADS": "1"}
    return Program(
        [sys.executable, "-m", "inference_server"],
        environment | settings,
        log,
        lambda: _answers(f"{_address(port)}/health/ready"),
    )


def wait_for(condition: Callable[[], object], what: str, log: Path | None = None) -> None:
    """Wait until a condition holds.

    Parameters
    ----------
    log
        File whose end the error quotes.

    Raises
    ------
    InstallationError
        It does not within `PATIENCE_S`.
    """
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > give_up:
            end = "" if log is None else log.read_text(errors="replace")[-2000:]
            raise InstallationError(f"waited {PATIENCE_S:g} s for {what} {end}")
        time.sleep(0.05)


def _address(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
        process.wait(10)
    except psutil.Error:
        return


def _kill_group(process_id: int) -> None:
    try:
        os.killpg(process_id, signal.SIGKILL)
    except ProcessLookupError:
        return
