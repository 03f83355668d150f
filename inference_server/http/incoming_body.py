"""Receives the body of a request within a time limit."""

import asyncio
from collections.abc import Mapping

from litestar.types import Receive, ReceiveMessage

from inference_server.errors import SlowBody


class IncomingBody:
    """The body of a request, which must arrive within a time limit.

    Parameters
    ----------
    receive
        The ASGI server's.
    headers
        The request's, with names in lower case.
    timeout_s
        Seconds from now in which the body must arrive.

    Attributes
    ----------
    complete
        Whether no more of the body will arrive.
    disconnected
        Whether the client closed its connection.
    """

    def __init__(self, receive: Receive, headers: Mapping[bytes, bytes], timeout_s: float) -> None:
        self._receive = receive
        self._timeout_s = timeout_s
        self._deadline = asyncio.get_running_loop().time() + timeout_s
        has_body = b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
        self.complete = not has_body
        self.disconnected = False

    async def receive(self) -> ReceiveMessage:
        """Return the next ASGI message; a part of the body must arrive before the deadline.

        Raises
        ------
        SlowBody
            If the body has not arrived in time.
        """
        try:
            async with asyncio.timeout_at(None if self.complete else self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise SlowBody(
                f"the body did not arrive within {self._timeout_s:g} s (KRONOS_BODY_TIMEOUT_S)",
                expected=f"the whole body within {self._timeout_s:g} s",
            ) from None
        if message["type"] == "http.disconnect":
            self.disconnected = True
        if self.disconnected or not message.get("more_body"):
            self.complete = True
        return message

    async def drain(self, max_bytes: int) -> None:
        """Receive and discard the rest of the body, up to a number of bytes and the deadline."""
        remaining = max_bytes
        try:
            while not self.complete and remaining > 0:
                message = await self.receive()
                remaining -= len(message["body"]) if message["type"] == "http.request" else 0
        except SlowBody:
            pass
