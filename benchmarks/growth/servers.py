"""A Prefect server with a database of its own, for the benchmarks."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from flows.runtime.local_server import free_port

PATIENCE_S = 600.0


@contextmanager
def prefect_server(logs: Path) -> Iterator[tuple[str, int]]:
    """Give the address of its API and its process id; its data are in ``PREFECT_HOME``."""
    port = free_port()
    address = f"http://127.0.0.1:{port}/api"
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port), "--no-ui"]
    log = logs / "prefect.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        give_up = time.monotonic() + PATIENCE_S
        while not _answers(f"{address}/health"):
            if time.monotonic() > give_up:
                raise RuntimeError(log.read_text()[-2000:])
            time.sleep(0.2)
        yield address, process.pid
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.HTTPError:
        return False
