"""Starts the servers under load, each in a process of its own: this one, and upstream's predictor."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from flows.runtime.local_server import server_process

PATIENCE_S = 1800.0
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
        """Peak resident memory of the process, in MB, from Linux' VmHWM."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        kibibytes = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
        return kibibytes * 1024 / 1e6

    def figure(self, name: str, **labels: str) -> float:
        """The sum of a metric over those of its series that have the labels."""
        text = httpx.get(f"{self.url}/metrics", timeout=60).text
        families = text_string_to_metric_families(text)
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and sample.labels.items() >= labels.items()
        )


@contextmanager
def this_server(bundle: Path, log: Path, **settings: object) -> Iterator[Running]:
    """Our server on a free port of loopback, with further settings as environment variables."""
    variables = {"KRONOS_BUNDLE": bundle, "KRONOS_ADMIN_KEYS": ADMIN_KEY, **settings}
    with _running("inference_server", "/health/ready", log, variables) as running:
        yield running


@contextmanager
def upstream(size: str, log: Path) -> Iterator[Running]:
    """Upstream's predictor behind FastAPI."""
    with _running("benchmarks.load.upstream", "/docs", log, {"UPSTREAM_SIZE": size}) as running:
        yield running


@contextmanager
def _running(module: str, ready_path: str, log: Path, settings: dict[str, object]) -> Iterator[Running]:
    """A server with these settings and none of the KRONOS_ variables of this process."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KRONOS_")}
    environment = inherited | {name: str(value) for name, value in settings.items()}
    with server_process(module, ready_path, environment, log, PATIENCE_S) as server:
        yield Running(server.address, server.process)
