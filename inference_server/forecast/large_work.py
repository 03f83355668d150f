"""Runs work that would block the event loop for too long in a thread."""

import asyncio
import contextvars
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def let_others_run() -> None:
    """Release the interpreter lock, so that a waiting thread need not wait for the switch interval of 5
    ms."""
    time.sleep(0)


class LargeWork:
    """Runs large work in one thread, in the order of its arrival, and small work directly.

    One thread, because threads that compute share the interpreter: each further one would delay the event
    loop and the thread that runs the model.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "large-work")

    async def run(self, work: Callable[[], T], *, large: bool) -> T:
        """Return the result of the work, or raise its exception; work that is cancelled early is not
        started."""
        if not large:
            return work()
        context = contextvars.copy_context()  # its log lines carry the request's id
        return await asyncio.get_running_loop().run_in_executor(self._thread, context.run, work)
