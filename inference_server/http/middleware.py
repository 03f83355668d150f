"""What happens around every request, whatever its route: its id, log line and count, its body's time."""

import asyncio
import logging
import re
import uuid
from time import perf_counter

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, ReceiveMessage, Scope, Send

from inference_server.errors import SlowBody
from inference_server.logs import request_id
from inference_server.metrics import Metrics

log = logging.getLogger(__name__)

# Ours and most others' ids (UUIDs, ULIDs, trace ids); anything else could forge a header or swell the log.
_SANE_ID = re.compile(r"[A-Za-z0-9._:/-]{1,128}", re.ASCII)
_LONGEST_PATH = 200
_QUIET = frozenset({"/health/live", "/health/ready", "/metrics"})
NO_ROUTE = "none"


class Observed:
    """Wraps the whole application, since Litestar's own middleware does not see requests without a route.

    Parameters
    ----------
    app
        The application.
    metrics
        Counts and times each request.
    body_timeout_s
        Seconds in which a body must have arrived; later reads of it raise `SlowBody`.
    max_body_bytes
        How much of a body that nobody reads is taken off the line before it is closed.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, body_timeout_s: float, max_body_bytes: int) -> None:
        self._app = app
        self._metrics = metrics
        self._body_timeout_s = body_timeout_s
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == ScopeType.HTTP:
            await self._answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        # Not reset at the end: each request has a task, and thus a context, of its own, and what the server
        # logs of it after we are done shall carry the id too.
        name = given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex
        request_id.set(name)
        has_body = b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
        body = _Body(receive, has_body, self._body_timeout_s)
        started, outcome = perf_counter(), "gone"

        async def answer(message: Message) -> None:
            nonlocal outcome
            if message["type"] == "http.response.start":
                if not body.left:
                    outcome = str(message["status"])
                more = [(b"x-request-id", name.encode())]
                if not body.complete:
                    more.append((b"connection", b"close"))
                message = {**message, "headers": [*message["headers"], *more]}
            elif message["type"] == "http.response.body" and not message["more_body"] and not body.complete:
                # A client that still sends would meet a closed line and never read why: hear it out a while.
                await send({**message, "more_body": True})
                await body.drain(self._max_body_bytes)
                message = {**message, "body": b""}
            await send(message)

        try:
            await self._app(scope, body.receive, answer)
        finally:
            seconds = perf_counter() - started
            route = scope.get("path_template", NO_ROUTE)
            self._metrics.answered(route, outcome, seconds)
            log.log(
                logging.DEBUG if route in _QUIET else logging.INFO,
                "request",
                extra={
                    "method": scope["method"],
                    "path": scope["path"][:_LONGEST_PATH],
                    "outcome": outcome,
                    "ms": round(seconds * 1000, 1),
                },
            )


class _Body:
    """The body of a request on its way in, with a time by which it must have arrived."""

    def __init__(self, receive: Receive, present: bool, timeout_s: float) -> None:
        self._receive = receive
        self._timeout_s = timeout_s
        self._due = asyncio.get_running_loop().time() + timeout_s
        self.complete = not present
        self.left = False
        """Whether the client went away."""

    async def receive(self) -> ReceiveMessage:
        """Return the next message, waiting for a part of the body no longer than the time allows.

        Raises
        ------
        SlowBody
            If the body has not arrived in time.
        """
        try:
            async with asyncio.timeout_at(None if self.complete else self._due):
                message = await self._receive()
        except TimeoutError:
            raise SlowBody(
                f"the body did not arrive within {self._timeout_s:g} s (KRONOS_BODY_TIMEOUT_S)",
                expected=f"the whole body within {self._timeout_s:g} s",
            ) from None
        if message["type"] == "http.disconnect":
            self.left = True
        if self.left or not message.get("more_body"):
            self.complete = True
        return message

    async def drain(self, at_most: int) -> None:
        """Take the rest of the body off the line, up to a number of bytes and the end of its time."""
        try:
            while not self.complete and at_most > 0:
                message = await self.receive()
                at_most -= len(message["body"]) if message["type"] == "http.request" else 0
        except SlowBody:
            pass
