"""What a caller asks the scheduler for, and what becomes of it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from inference_server.engine.bundle import Manifest
from inference_server.engine.engine import EngineError
from inference_server.engine.jobs import ForecastJob, Ticket
from market.types import Float32Array


@dataclass(frozen=True)
class Outcome:
    """A job's sample paths (sample_count, pred_len, 6), the bundle that made them, and how it went.

    `batch_size` is the most rows that any step of the job had.
    """

    paths: Float32Array
    manifest: Manifest
    queue_s: float
    inference_s: float
    batch_size: int


Result = Outcome | EngineError


@dataclass(eq=False)
class Call:
    """The jobs of one caller: their results, in order, go to `done` in the caller's event loop."""

    jobs: Sequence[ForecastJob]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[list[Result]]
    tickets: dict[Ticket, int] = field(default_factory=dict)
    results: dict[int, Result] = field(default_factory=dict)

    def finish(self, deliver: Callable[[], None]) -> None:
        """Run something in the caller's loop, unless the caller has gone meanwhile."""
        self.loop.call_soon_threadsafe(lambda: None if self.done.done() else deliver())
