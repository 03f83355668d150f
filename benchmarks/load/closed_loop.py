"""Runs clients in a closed loop against a server, with Locust, and returns the times and outcomes."""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.bodies import encoded, forecast

LOCUSTFILE = Path(__file__).with_name("locustfile.py")


@dataclass(frozen=True)
class LoadResult:
    """A run's duration, the seconds and outcome of each answer, and the waits of unanswered requests."""

    seconds: float
    answered: list[tuple[float, str]]
    waiting: list[float]

    @property
    def a_second(self) -> float:
        """Good answers a second."""
        return self.outcomes["200"] / self.seconds

    @property
    def outcomes(self) -> Counter[str]:
        """Number of answers by status."""
        return Counter(outcome for _, outcome in self.answered)

    def percentile(self, share: float) -> str:
        """The quantile of the waits; with ">" if that request was unanswered at the end."""
        ended = [(wait, "") for wait, outcome in self.answered if outcome == "200"]
        waits = sorted([*ended, *((wait, "> ") for wait in self.waiting)])
        if not waits:
            return "–"
        wait, mark = waits[min(int(share * len(waits)), len(waits) - 1)]
        return f"{mark}{wait:.2f} s"


def load(url: str, clients: int, seconds: float) -> LoadResult:
    """Run `clients` clients for some seconds, all from the start."""
    with tempfile.TemporaryDirectory() as folder:
        body, out = Path(folder) / "body.json", Path(folder) / "out.json"
        body.write_bytes(encoded(forecast()))
        # fmt: off
        command = [sys.executable, "-m", "locust", "-f", LOCUSTFILE, "--headless", "--host", url,
                   "-u", clients, "-r", clients, "--run-time", f"{seconds:g}s", "--loglevel", "ERROR",
                   "--only-summary", "--stop-timeout", "0"]
        # fmt: on
        variables = {"LOAD_BODY": str(body), "LOAD_OUT": str(out)}
        subprocess.run(
            [str(part) for part in command],
            env=os.environ | variables,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        result = json.loads(out.read_text())
    return LoadResult(seconds, [(wait, outcome) for wait, outcome in result["answered"]], result["waiting"])
