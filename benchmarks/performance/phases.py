"""Runs requests on an engine and returns how long prefills, steps and everything else took."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from inference_server.engine.batching import Batching
from inference_server.engine.engine import Engine
from inference_server.engine.jobs import ForecastJob
from inference_server.engine.lanes import Observer


@dataclass
class Phases(Observer):
    """Seconds of each prefill with its tokens, and of each step with its rows.

    Attributes
    ----------
    seconds
        The whole, from the first job to the last candle.
    """

    seconds: float = 0.0
    prefills: list[tuple[float, int]] = field(default_factory=list)
    steps: list[tuple[float, int]] = field(default_factory=list)

    def prefilled(self, seconds: float, tokens: int) -> None:
        """Note a prefill."""
        self.prefills.append((seconds, tokens))

    def stepped(self, seconds: float, rows: int) -> None:
        """Note a step."""
        self.steps.append((seconds, rows))

    @property
    def step_s(self) -> float:
        """Median seconds of a step."""
        return statistics.median(seconds for seconds, _ in self.steps)

    @property
    def prefill_s(self) -> float:
        """Median seconds of a prefill."""
        return statistics.median(seconds for seconds, _ in self.prefills)


def run(engine: Engine, jobs: Sequence[ForecastJob]) -> Phases:
    """Run jobs that begin together, and return how long each phase took."""
    phases = Phases()
    start = time.perf_counter()
    batching = Batching(engine, phases)
    for job in jobs:
        batching.add(job)
    while not batching.idle:
        batching.step()
    phases.seconds = time.perf_counter() - start
    return phases
