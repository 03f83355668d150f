"""An inference server as a child process: started on a free port, ready when handed over, always stopped."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from inference_server.client import Client

PATIENCE_S = 120.0
_PAUSE_S = 0.1
_LINES_SHOWN = 20


class ServerError(RuntimeError):
    """The server ended or was not ready in time; the message holds the last lines of its log."""


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
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    place = {"KRONOS_BUNDLE": str(bundle), "KRONOS_HOST": "127.0.0.1", "KRONOS_PORT": str(port)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "inference_server"],
            env={**os.environ, **place},
            stdout=output,
            stderr=output,
        )
    try:
        _wait(process, address, log)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """Return a port of loopback that is free: one of many, so that two that start together don't meet."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    give_up = time.monotonic() + PATIENCE_S
    with Client(address, timeout_s=5) as client:
        while not client.ready():
            ended = process.poll() is not None
            if ended or time.monotonic() > give_up:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-_LINES_SHOWN:])
                what = "ended" if ended else f"was not ready after {PATIENCE_S:.0f} s"
                raise ServerError(f"the inference server {what}; its log ({log}) ends with\n{tail}")
            time.sleep(_PAUSE_S)
