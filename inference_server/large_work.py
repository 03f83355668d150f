"""Work that takes longer than the event loop may stand still, in a thread beside it."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class LargeWork:
    """Runs large work in a thread, one at a time in the order of its coming, and small work at once.

    One at a time, since threads that compute share one interpreter: with each further one the event loop, and
    the thread that runs the model, wait longer for their turn.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "large-work")

    async def run(self, work: Callable[[], T], *, large: bool) -> T:
        """Return what the work returns, or raise what it raises; cancelled before it began, it is not run."""
        if not large:
            return work()
        context = contextvars.copy_context()  # its log lines carry the request's id
        return await asyncio.get_running_loop().run_in_executor(self._thread, context.run, work)
