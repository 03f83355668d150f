"""Limits the time of a request, and cancels it when the client disconnects."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

from litestar import Request
from litestar.params import Parameter

from inference_server.errors import ClientGone

T = TypeVar("T")

RequestTimeout = Annotated[
    float | None,
    Parameter(
        header="X-Request-Timeout",
        gt=0,
        le=86400,
        description="seconds in which the answer must be there; 504 after them",
    ),
]


def time_allowed(default_s: float) -> Callable[[RequestTimeout], float]:
    """Return a dependency that provides the time limit of a request in seconds: its header's or the
    default."""

    def timeout_s(x_request_timeout: RequestTimeout = None) -> float:
        return default_s if x_request_timeout is None else x_request_timeout

    return timeout_s


async def while_connected(request: Request[Any, Any, Any], work: Coroutine[Any, Any, T]) -> T:
    """Return the result of the work; cancel it as soon as the client closes its connection.

    Raises
    ------
    ClientGone
        If the client closed its connection first.
    """
    task, disconnect = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        task.cancel()
        disconnect.cancel()


async def _disconnected(request: Request[Any, Any, Any]) -> None:
    # After the body an ASGI server sends only one more message.
    while (await request.receive())["type"] != "http.disconnect":
        pass
