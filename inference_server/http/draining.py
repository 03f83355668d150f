"""The HTTP server's life: it goes on answering after SIGTERM until what runs is done."""

import asyncio
from collections.abc import Awaitable, Callable
from types import FrameType

import uvicorn


class Server(uvicorn.Server):
    """uvicorn, but the first signal drains: the port stays open, so that balancers see readiness go.

    Parameters
    ----------
    config
        uvicorn's own.
    drain
        Takes nothing new and returns once what runs has ended.
    """

    def __init__(self, config: uvicorn.Config, drain: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._drain = drain
        self._draining = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leaving: asyncio.Task[None] | None = None

    async def serve(self, *args: object, **kwargs: object) -> None:
        """Serve until a signal has been drained, or a second one cuts that short."""
        self._loop = asyncio.get_running_loop()
        await super().serve(*args, **kwargs)  # type: ignore[arg-type]

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first signal, end at the second."""
        if self._draining or self._loop is None or not self.started:
            super().handle_exit(sig, frame)
            return
        self._draining = True
        self._loop.call_soon_threadsafe(self._begin_to_leave)

    def _begin_to_leave(self) -> None:
        self._leaving = asyncio.ensure_future(self._leave())

    async def _leave(self) -> None:
        try:
            await self._drain()
        finally:
            self.should_exit = True
