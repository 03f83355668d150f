"""The jobs of one request to the scheduler, and their results."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from inference_server.engine.bundle import Manifest
from inference_server.engine.jobs import ForecastJob
from inference_server.engine.model import EngineError
from inference_server.engine.sequence import SequenceGroup
from market.types import Float32Array


@dataclass(frozen=True)
class GeneratedPaths:
    """A job's sample paths (sample_count, pred_len, 6), the bundle that made them, and how it went.

    `batch_size` is the most rows that any step of the job had.
    """

    paths: Float32Array
    manifest: Manifest
    queue_s: float
    inference_s: float
    batch_size: int


Result = GeneratedPaths | EngineError


@dataclass(eq=False)
class Call:
    """The jobs of one caller: their results, in order, go to `done` in the caller's event loop."""

    jobs: Sequence[ForecastJob]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[list[Result]]
    groups: dict[SequenceGroup, int] = field(default_factory=dict)
    results: dict[int, Result] = field(default_factory=dict)

    def finish(self, deliver: Callable[[], None]) -> None:
        """Deliver results in the caller's event loop, unless the caller was cancelled meanwhile."""
        self.loop.call_soon_threadsafe(lambda: None if self.done.done() else deliver())
