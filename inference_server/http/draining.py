"""Lets the HTTP server finish running requests after SIGTERM before it shuts down."""

import asyncio
from collections.abc import Awaitable, Callable
from types import FrameType

import uvicorn


class Server(uvicorn.Server):
    """A uvicorn server that drains at the first signal, with an open port so that balancers see it unready.

    Parameters
    ----------
    config
        uvicorn's own.
    drain
        Stops accepting requests and returns once the running ones have ended.
    """

    def __init__(self, config: uvicorn.Config, drain: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._drain = drain
        self._draining = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._drain_task: asyncio.Task[None] | None = None

    async def serve(self, *args: object, **kwargs: object) -> None:
        """Serve until the server has drained after a signal, or a second signal ends it."""
        self._loop = asyncio.get_running_loop()
        await super().serve(*args, **kwargs)  # type: ignore[arg-type]

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first signal, end at the second."""
        if self._draining or self._loop is None or not self.started:
            super().handle_exit(sig, frame)
            return
        self._draining = True
        self._loop.call_soon_threadsafe(self._start_draining)

    def _start_draining(self) -> None:
        self._drain_task = asyncio.ensure_future(self._drain_and_exit())

    async def _drain_and_exit(self) -> None:
        try:
            await self._drain()
        finally:
            self.should_exit = True
