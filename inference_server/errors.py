"""Everything that can go wrong, and the one place that turns it into RFC 9457 problem details."""

import re
from http import HTTPStatus
from typing import Any, ClassVar

from litestar.exceptions import HTTPException, ValidationException

from inference_server.candles import CandleError
from inference_server.metrics import Metrics
from inference_server.schemas import Problem

TYPE_PREFIX = "urn:kronos-events:problem:"

_HTTP_DETAILS = {
    404: "there is no such route; /docs lists them",
    405: "the route does not take this method; the header Allow names those it takes",
    413: "the body is larger than this server takes; GET /model tells max_body_bytes (KRONOS_MAX_BODY_BYTES)",
}


class ServiceError(Exception):
    """A refusal with its status; `given` and `expected` go into the problem details where they help."""

    status: ClassVar[int] = 500
    name: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Internal error"
    retry_after_s: int | None = None

    def __init__(self, detail: str, *, given: Any = None, expected: Any = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.given = given
        self.expected = expected


class InvalidBody(ServiceError):
    """The body is not JSON, or a field has the wrong type."""

    status = 422
    name = "invalid-body"
    title = "Invalid request body"


class InvalidQuery(ServiceError):
    """A query parameter is missing or has the wrong type."""

    status = 422
    name = "invalid-query"
    title = "Invalid query parameter"


class InvalidHeader(ServiceError):
    """A header has the wrong type or a value out of range."""

    status = 422
    name = "invalid-header"
    title = "Invalid header"


class InvalidRequest(ServiceError):
    """A field has the right type and a value that cannot be used."""

    status = 422
    name = "invalid-request"
    title = "Invalid request"


class InvalidCandles(InvalidRequest):
    """Candles given inline cannot be used as they are."""

    name = "invalid-candles"
    title = "Invalid candles"


class InvalidEvents(InvalidRequest):
    """The event array has the wrong shape, schema or values."""

    name = "invalid-events"
    title = "Invalid events"


class TooFewCandles(InvalidRequest):
    """There are fewer candles than a forecast needs."""

    name = "too-few-candles"
    title = "Too few candles"


class BeyondLimit(InvalidRequest):
    """The request is larger than this server takes."""

    name = "beyond-limit"
    title = "Beyond a limit"


class UnknownSymbol(ServiceError):
    """Nobody has registered the symbol, or there are no candles of it."""

    status = 404
    name = "unknown-symbol"
    title = "Unknown symbol"


class DatabaseUnavailable(ServiceError):
    """The candles cannot be read now; requests with inline candles still work."""

    status = 503
    name = "database-unavailable"
    title = "Database unavailable"
    retry_after_s: int | None = 5


class NoDatabase(DatabaseUnavailable):
    """The server was started without a database: trying again changes nothing."""

    retry_after_s = None


class ModelNotReady(ServiceError):
    """The model is still being loaded and warmed."""

    status = 503
    name = "model-not-ready"
    title = "Model not ready"
    retry_after_s = 2


class Draining(ServiceError):
    """The server is about to end: it finishes what it has begun and takes nothing new."""

    status = 503
    name = "draining"
    title = "Shutting down"
    retry_after_s = 5

    def __init__(self) -> None:
        super().__init__("this server is shutting down and takes no new requests: ask another, or try again")


class EngineFailed(ServiceError):
    """The device that runs the model failed: what ran is lost, and a new engine or process takes over."""

    status = 503
    name = "engine-failed"
    title = "Engine failed"
    retry_after_s: int | None = 10

    def __init__(self) -> None:
        super().__init__(
            "the device that runs the model failed while this was running, and the log tells how: try again, "
            "or ask another server"
        )


class QueueFull(ServiceError):
    """As many requests wait as the server lets wait."""

    status = 429
    name = "queue-full"
    title = "Queue full"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(
            f"as many forecasts wait as may wait (KRONOS_QUEUE_LIMIT): try again in {retry_after_s} s",
            expected=f"another try after {retry_after_s} s",
        )
        self.retry_after_s = retry_after_s


class DeadlineExceeded(ServiceError):
    """The request was not answered in the time it gave itself, or that the server gives it."""

    status = 504
    name = "deadline-exceeded"
    title = "Deadline exceeded"


class ClientGone(ServiceError):
    """The client closed its connection; nobody reads this answer."""

    status = 499
    name = "client-gone"
    title = "Client gone"

    def __init__(self) -> None:
        super().__init__("the client went away before the answer")


class ReloadFailed(ServiceError):
    """The bundle could not be loaded anew; the one that was served still is."""

    status = 409
    name = "reload-failed"
    title = "Reload failed"

    def __init__(self) -> None:
        super().__init__(
            "the bundle in KRONOS_BUNDLE cannot be loaded; the one before serves on, and the log tells why"
        )


class MisdirectedRequest(ServiceError):
    """A server without keys was asked under a name that is not its own."""

    status = 421
    name = "misdirected-request"
    title = "Misdirected request"

    def __init__(self, host: str) -> None:
        super().__init__(
            "this server has no API keys and answers only to the names of its own machine; for another name, "
            "of a proxy in front of it, set KRONOS_ALLOWED_HOSTS or API keys",
            given=host[:200],
            expected="127.0.0.1, localhost or [::1] as Host",
        )


class UnsupportedMedia(ServiceError):
    """The body is of a kind that this server does not read."""

    status = 415
    name = "unsupported-media-type"
    title = "Unsupported media type"


class BodyTooLarge(ServiceError):
    """The body is larger than this server takes, once it is unpacked."""

    status = 413
    name = "request-entity-too-large"
    title = "Request Entity Too Large"


class SlowBody(ServiceError):
    """The body did not arrive in time."""

    status = 408
    name = "slow-body"
    title = "Slow body"


class Unauthorised(ServiceError):
    """There is no API key, or none that this server knows."""

    status = 401
    name = "unauthorised"
    title = "Unauthorised"

    def __init__(self) -> None:
        super().__init__(
            "this server asks for an API key, and none that it knows was given",
            expected="the header Authorization: Bearer <key>",
        )


class Forbidden(ServiceError):
    """The API key may not do this."""

    status = 403
    name = "forbidden"
    title = "Forbidden"


def problem_of(error: Exception, instance: str | None = None) -> Problem:
    """Return an exception as problem details; unforeseen ones tell nothing of their inside.

    Parameters
    ----------
    error
        Whatever was raised while a request was answered.
    instance
        The path of the request.
    """
    if isinstance(error, CandleError):
        error = InvalidCandles(str(error))
    if isinstance(error, ValidationException):
        error = _not_validated(error)
    if isinstance(error, ServiceError):
        return Problem(
            type=TYPE_PREFIX + error.name,
            title=error.title,
            status=error.status,
            detail=error.detail,
            instance=instance,
            given=error.given,
            expected=error.expected,
        )
    if isinstance(error, HTTPException) and error.status_code < 500:
        title = HTTPStatus(error.status_code).phrase
        return Problem(
            type=TYPE_PREFIX + title.lower().replace(" ", "-"),
            title=title,
            status=error.status_code,
            detail=_HTTP_DETAILS.get(error.status_code, error.detail),
            instance=instance,
        )
    return Problem(
        type=TYPE_PREFIX + ServiceError.name,
        title=ServiceError.title,
        status=500,
        detail="the server failed to answer; its log tells why",
        instance=instance,
    )


def refusal(error: Exception, instance: str | None, metrics: Metrics) -> Problem:
    """Return an exception as problem details, and count it: every refusal of the server passes here."""
    problem = problem_of(error, instance)
    metrics.refused(problem.type.removeprefix(TYPE_PREFIX))
    return problem


def _not_validated(error: ValidationException) -> ServiceError:
    """Return what Litestar refused by itself: a query parameter or header, else a body that is not there."""
    for wrong in error.extra if isinstance(error.extra, list) else []:
        if isinstance(wrong, dict) and wrong.get("source") == "query":
            return InvalidQuery(f"the query parameter {wrong.get('key')}: {wrong.get('message')}")
        if isinstance(wrong, dict) and wrong.get("source") == "header":
            return InvalidHeader(
                f"the header {str(wrong.get('key')).replace('_', '-')}: {wrong.get('message')}"
            )
    missing = re.match("Missing required query parameter '([^']+)'", error.detail)
    if missing is not None:
        return InvalidQuery(f"the query parameter {missing[1]} is missing; /docs tells what it may be")
    return InvalidBody("the body is empty; expected a JSON object")


def headers_of(error: Exception) -> dict[str, str]:
    """Return the headers that belong to an exception's answer, such as Retry-After or Allow."""
    if isinstance(error, HTTPException):
        return dict(error.headers or {})
    if isinstance(error, Unauthorised):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, ServiceError) and error.retry_after_s is not None:
        return {"Retry-After": str(error.retry_after_s)}
    return {}
