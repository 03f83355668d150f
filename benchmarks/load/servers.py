"""The two servers under load, each a process of its own: ours, and upstream's predictor one at a time."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from flows.local_server import free_port

PATIENCE_S = 300.0
ADMIN_KEY = "key-of-the-load-benchmark"


@dataclass(frozen=True)
class Running:
    """A server that is ready."""

    url: str
    process: subprocess.Popen[bytes]

    def memory_mb(self) -> float:
        """Resident memory of the process, in MB."""
        return psutil.Process(self.process.pid).memory_info().rss / 1e6

    def peak_mb(self) -> float:
        """The most resident memory that the process has had, in MB, by Linux' own account."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return (
            next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 976.5625
        )

    def figure(self, name: str, **labels: str) -> float:
        """The sum of a metric over those of its series that have the labels."""
        text = httpx.get(f"{self.url}/metrics", timeout=60).text
        families = text_string_to_metric_families(text)
        return sum(
            one.value
            for family in families
            for one in family.samples
            if one.name == name and one.labels.items() >= labels.items()
        )


@contextmanager
def ours(bundle: Path, log: Path, **settings: object) -> Iterator[Running]:
    """Our server on a free port of loopback, with further settings as environment variables."""
    place = {"KRONOS_BUNDLE": bundle, "KRONOS_ADMIN_KEYS": ADMIN_KEY, **settings}
    with _process("inference_server", "/health/ready", log, place) as running:
        yield running


@contextmanager
def upstream(size: str, log: Path) -> Iterator[Running]:
    """Upstream's predictor behind FastAPI."""
    with _process("benchmarks.load.upstream", "/docs", log, {"UPSTREAM_SIZE": size}) as running:
        yield running


@contextmanager
def _process(module: str, ready: str, log: Path, settings: dict[str, object]) -> Iterator[Running]:
    port = free_port()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KRONOS_")}
    place = {name: str(value) for name, value in settings.items()} | {"KRONOS_PORT": str(port)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module], env=inherited | place, stdout=output, stderr=output
        )
    running = Running(f"http://127.0.0.1:{port}", process)
    try:
        _wait(running, ready, log)
        yield running
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(running: Running, path: str, log: Path) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while True:
        try:
            if httpx.get(running.url + path).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        if running.process.poll() is not None or time.monotonic() > give_up:
            raise RuntimeError(f"the server did not come up:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.2)
