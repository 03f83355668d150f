"""How long a caller waits: the time that a request gives itself, and whether anybody is still there."""

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
    """Return a dependency: the seconds that a request may take, by its own header or by default."""

    def timeout_s(x_request_timeout: RequestTimeout = None) -> float:
        return default_s if x_request_timeout is None else x_request_timeout

    return timeout_s


async def while_connected(request: Request[Any, Any, Any], work: Coroutine[Any, Any, T]) -> T:
    """Return what the work gives; cancel it as soon as the client closes its connection.

    Raises
    ------
    ClientGone
        If the client went away first.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_until_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _until_gone(request: Request[Any, Any, Any]) -> None:
    # After the body an ASGI server has only one more thing to tell.
    while (await request.receive())["type"] != "http.disconnect":
        pass
