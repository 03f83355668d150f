"""Starts, asks and stops supervisord, and ends what a killed one left behind."""

import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any, Final

import psutil
from supervisor.xmlrpc import Faults, SupervisorTransport

from flows.supervision.errors import UpError
from flows.supervision.folder import UpFolder

_PATIENCE_S: Final = 30.0
"""Longest wait for supervisord to start or, once its programs are stopped, to end."""
_PAUSE_S: Final = 0.1
_GRACE_S: Final = 20.0
"""Seconds that processes which supervisord does not know have after SIGTERM before they are killed."""
_MARK: Final = "SUPERVISOR_SERVER_URL"
"""Variable that supervisord sets for each program, whose children inherit it: the address of its socket."""


@dataclass(frozen=True)
class ProcessState:
    """A program as supervisord sees it.

    Attributes
    ----------
    state
        supervisord's name of the state, such as ``RUNNING``, ``BACKOFF`` or ``STOPPED``.
    since
        When it was started or stopped last, UTC; None if it never was.
    pid
        Process id; None unless it runs.
    """

    name: str
    state: str
    since: datetime | None
    pid: int | None

    @property
    def runs(self) -> bool:
        """Whether it runs, or has just been started."""
        return self.state in ("RUNNING", "STARTING")


class Supervisor:
    """The supervisord of a folder."""

    def __init__(self, folder: UpFolder) -> None:
        self._folder = folder
        self._url = f"unix://{folder.socket}"

    def start(self, environment: Mapping[str, str]) -> None:
        """Start supervisord, which starts no program yet; it goes on after this process has ended.

        Parameters
        ----------
        environment
            Variables of supervisord and of every program.

        Raises
        ------
        UpError
            It does not start.
        """
        for file in (self._folder.socket, self._folder.supervisor_pid):  # of one that was killed
            file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self._folder.configuration)]
        started = subprocess.run(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE_S,
        )
        if started.returncode:
            reason = (started.stderr or started.stdout).strip().splitlines()
            raise UpError(f"supervisord did not start: {reason[-1] if reason else 'it printed no reason'}")
        give_up = time.monotonic() + _PATIENCE_S
        while not self.runs():
            if time.monotonic() > give_up:
                raise UpError(
                    f"supervisord did not answer within {_PATIENCE_S:.0f} s: "
                    f"see {self._folder.log('supervisord')}"
                )
            time.sleep(_PAUSE_S)

    def runs(self) -> bool:
        """Return whether supervisord answers."""
        try:
            self._ask("getPID")
        except (OSError, HTTPException):
            return False
        return True

    def states(self) -> dict[str, ProcessState]:
        """Return the state of each program by name; none without a supervisord."""
        try:
            infos = self._ask("getAllProcessInfo")
        except (OSError, HTTPException):
            return {}
        return {info["name"]: _state(info) for info in infos}

    def start_program(self, name: str) -> None:
        """Start a program unless it runs.

        Raises
        ------
        UpError
            It can't be started.
        """
        try:
            self._ask("startProcess", name, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != Faults.ALREADY_STARTED:
                raise UpError(
                    f"{name} did not start ({fault.faultString}): see {self._folder.log(name)}"
                ) from None

    def stop_program(self, name: str) -> None:
        """Stop a program unless it is stopped, and wait for its end; after its grace it is killed."""
        try:
            self._ask("stopProcess", name, True)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != Faults.NOT_RUNNING:
                raise UpError(f"{name} did not stop ({fault.faultString})") from None

    def shut_down(self) -> None:
        """Stop the programs that still run, and supervisord itself; wait for its end.

        Raises
        ------
        UpError
            It does not end.
        """
        process = psutil.Process(self._ask("getPID"))
        self._ask("shutdown")
        try:
            process.wait(_PATIENCE_S)
        except psutil.TimeoutExpired:
            raise UpError(f"supervisord (process {process.pid}) did not end: kill it") from None

    def processes(self, variable: str = _MARK) -> list[psutil.Process]:
        """Return the processes that this folder's programs and their children are, supervisord left out.

        Parameters
        ----------
        variable
            Only processes that have this environment variable.
        """
        found = []
        for process in psutil.process_iter():
            try:
                environment = process.environ()
            except (psutil.Error, OSError):  # another user's, or it has ended
                continue
            if environment.get(_MARK) == self._url and variable in environment:
                found.append(process)
        return found

    def _ask(self, method: str, *arguments: Any) -> Any:
        proxy = xmlrpc.client.ServerProxy("http://supervisor", SupervisorTransport(None, None, self._url))
        with proxy as server:
            return getattr(server.supervisor, method)(*arguments)


def _state(info: Mapping[str, Any]) -> ProcessState:
    since = info["start"] if info["pid"] else info["stop"]
    return ProcessState(
        name=info["name"],
        state=info["statename"],
        since=datetime.fromtimestamp(since, UTC) if since else None,
        pid=info["pid"] or None,
    )


def end_processes(processes: Sequence[psutil.Process]) -> None:
    """End processes with SIGTERM, and kill those that are still there after `_GRACE_S`."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(processes, _GRACE_S)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, _GRACE_S)
