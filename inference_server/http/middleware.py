"""Gives every request an id, a log line and its metrics, and limits the time in which its body must
arrive."""

import logging
import re
import uuid
from collections.abc import Mapping
from time import perf_counter

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from inference_server.http.incoming_body import IncomingBody
from inference_server.logs import request_id
from inference_server.metrics import Metrics

log = logging.getLogger(__name__)

# UUIDs, ULIDs, trace ids and the like; other text could forge a header or fill the log.
_SAFE_ID = re.compile(r"[A-Za-z0-9._:/-]{1,128}", re.ASCII)
_LONGEST_PATH = 200
_QUIET = frozenset({"/health/live", "/health/ready", "/metrics", "/metrics/flows"})
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
        Seconds in which a body must arrive; later reads of it raise `SlowBody`.
    max_body_bytes
        The most bytes of an unread body that are received before the connection is closed.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, body_timeout_s: float, max_body_bytes: int) -> None:
        self._app = app
        self._metrics = metrics
        self._body_timeout_s = body_timeout_s
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        name = _id_of(headers)
        # Not reset afterwards: each request has a context of its own, and what the server logs about the
        # request later is to carry the id too.
        request_id.set(name)
        body = IncomingBody(receive, headers, self._body_timeout_s)
        response = _Response(send, name, body, self._max_body_bytes)
        start = perf_counter()
        try:
            await self._app(scope, body.receive, response.send)
        finally:
            self._record(scope, response.outcome, perf_counter() - start)

    def _record(self, scope: HTTPScope, outcome: str, seconds: float) -> None:
        """Count and log an answered request."""
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


class _Response:
    """Sends a response with the request's id in a header.

    A response to a body that was not read completely closes the connection. Closing it at once would reset it
    before the client reads the response, so the rest of the body is received first, up to `max_body_bytes`.

    Attributes
    ----------
    outcome
        The HTTP status that was sent, or "gone" if the client closed its connection first.
    """

    def __init__(self, send: Send, request_name: str, body: IncomingBody, max_body_bytes: int) -> None:
        self._send = send
        self._request_name = request_name
        self._body = body
        self._max_body_bytes = max_body_bytes
        self.outcome = "gone"

    async def send(self, message: Message) -> None:
        """Send an ASGI message of the application."""
        if message["type"] == "http.response.start":
            if not self._body.disconnected:
                self.outcome = str(message["status"])
            headers = [*message["headers"], (b"x-request-id", self._request_name.encode())]
            if not self._body.complete:
                headers.append((b"connection", b"close"))
            await self._send({**message, "headers": headers})
        elif message["type"] == "http.response.body" and not message["more_body"] and not self._body.complete:
            await self._send({**message, "more_body": True})
            await self._body.drain(self._max_body_bytes)
            await self._send({**message, "body": b""})
        else:
            await self._send(message)


def _id_of(headers: Mapping[bytes, bytes]) -> str:
    """Return the id in X-Request-ID if it is safe to log and to send back, otherwise a new one."""
    name = headers.get(b"x-request-id", b"").decode("latin-1")
    return name if _SAFE_ID.fullmatch(name) else uuid.uuid4().hex
