"""Starts a server as a child process on a free port of loopback, waits until it is ready, and stops it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

PATIENCE_S = 120.0
_STOP_S = 10.0
_PAUSE_S = 0.1
_LOG_LINES = 20


class ServerError(RuntimeError):
    """The server ended or was not ready in time; the message holds the last lines of its log."""


@dataclass(frozen=True)
class ServerProcess:
    """A server that is ready.

    Attributes
    ----------
    address
        Such as ``http://127.0.0.1:40123``.
    """

    address: str
    process: subprocess.Popen[bytes]


@contextmanager
def local_server(bundle: Path, log: Path) -> Iterator[str]:
    """Serve a bundle on 127.0.0.1 and give the address once the model is loaded and warm.

    Parameters
    ----------
    bundle
        Folder that ``python -m export`` wrote.
    log
        File that the server writes its log to.

    Raises
    ------
    ServerError
        The server ends, or is not ready after `PATIENCE_S`.
    """
    settings = {"KRONOS_BUNDLE": str(bundle), "KRONOS_HOST": "127.0.0.1"}
    with server_process("inference_server", "/health/ready", {**os.environ, **settings}, log) as server:
        yield server.address


@contextmanager
def server_process(
    module: str, ready_path: str, environment: Mapping[str, str], log: Path, patience_s: float = PATIENCE_S
) -> Iterator[ServerProcess]:
    """Run ``python -m module`` as a server, and stop it at the end of the block.

    Parameters
    ----------
    module
        Listens on the port in ``KRONOS_PORT``.
    ready_path
        Path that answers 200 once the server is ready.
    environment
        All variables of the process but ``KRONOS_PORT``.
    log
        File for its standard output and error output.
    patience_s
        Longest time until it is ready.

    Raises
    ------
    ServerError
        The process ends, or is not ready after `patience_s`.
    """
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            env={**environment, "KRONOS_PORT": str(port)},
            stdout=output,
            stderr=output,
        )
    server = ServerProcess(f"http://127.0.0.1:{port}", process)
    try:
        _wait_until_ready(server, ready_path, module, log, patience_s)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """Return a free port of loopback, chosen by the kernel, so that parallel starts do not collide."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def _wait_until_ready(
    server: ServerProcess, ready_path: str, module: str, log: Path, patience_s: float
) -> None:
    give_up = time.monotonic() + patience_s
    with httpx.Client(base_url=server.address, timeout=5) as client:
        while not _answers(client, ready_path):
            ended = server.process.poll() is not None
            if ended or time.monotonic() > give_up:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
                outcome = "ended" if ended else f"was not ready after {patience_s:.0f} s"
                raise ServerError(f"python -m {module} {outcome}; its log ({log}) ends with\n{tail}")
            time.sleep(_PAUSE_S)


def _answers(client: httpx.Client, path: str) -> bool:
    try:
        return client.get(path).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
