"""Waits until a program of the machine is ready, and checks that the ports that it needs are free."""

import socket
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import httpx
import psutil

from flows.supervision.errors import UpError
from flows.supervision.folder import UpFolder
from flows.supervision.supervisor import Supervisor

_PAUSE_S: Final = 0.2
_LOG_LINES: Final = 15
_ANSWER_S: Final = 5.0


def answers(url: str, auth: tuple[str, str] | None = None) -> bool:
    """Return whether a URL is answered with 200, within a few seconds."""
    try:
        # A proxy of the environment is not for this machine.
        return httpx.get(url, auth=auth, timeout=_ANSWER_S, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def wait_until_ready(
    supervisor: Supervisor, folder: UpFolder, name: str, ready: Callable[[], bool], patience_s: float
) -> None:
    """Wait until a program is ready.

    Raises
    ------
    UpError
        It ends, or is not ready in time; the message has the end of its log.
    """
    give_up = time.monotonic() + patience_s
    while not ready():
        state = supervisor.states().get(name)
        if state is None or not state.runs:
            raise UpError(f"{name} ended:\n{log_end(folder.log(name))}")
        if time.monotonic() > give_up:
            raise UpError(f"{name} was not ready after {patience_s:.0f} s:\n{log_end(folder.log(name))}")
        time.sleep(_PAUSE_S)


def log_end(log: Path) -> str:
    """Return the name of a log and its last lines."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join([f"{log} ends with", *(f"    {line}" for line in lines[-_LOG_LINES:])])


def require_free_port(host: str, port: int, variable: str) -> None:
    """Check that a program can listen on a port.

    Raises
    ------
    UpError
        It is taken, or the host is not one of this machine; the message has the setting to change.
    """
    try:
        (family, *_, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        with closing(socket.socket(family)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        owner = _listener(port)
        if owner is None and not isinstance(error, socket.gaierror):
            owner = error.strerror or str(error)
        raise UpError(
            f"can't listen on port {port} of {host} ({owner or error}): set {variable} to another one"
        ) from None


def _listener(port: int) -> str | None:
    """Return who listens on a port, where this user can see that."""
    try:
        for connection in psutil.net_connections("tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and getattr(connection.laddr, "port", None) == port
                and connection.pid
            ):
                return f"process {connection.pid}, {psutil.Process(connection.pid).name()}, has it"
    except psutil.Error:
        pass
    return None
