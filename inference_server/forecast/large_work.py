"""Work that takes longer than the event loop may stand still, in a thread beside it."""

import asyncio
import contextvars
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def let_others_run() -> None:
    """Hand the interpreter over at once: whoever waits for it would otherwise get it after 5 ms."""
    time.sleep(0)


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
