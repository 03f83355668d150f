"""Defines the errors that the server answers with, each with its HTTP status (see `http.problems`)."""

from typing import Any, ClassVar


class ServiceError(Exception):
    """An error with its HTTP status; `given` and `expected` become part of the problem details."""

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
    """The candles of a request, or stored ones, cannot be used."""

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
    """The request exceeds a limit of this server."""

    name = "beyond-limit"
    title = "Beyond a limit"


class UnknownSymbol(ServiceError):
    """The symbol is not registered, or has no candles."""

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
    """The server was started without a database, so that a retry cannot succeed."""

    retry_after_s = None


class ModelNotReady(ServiceError):
    """The model is being loaded and warmed."""

    status = 503
    name = "model-not-ready"
    title = "Model not ready"
    retry_after_s = 2


class Draining(ServiceError):
    """The server is shutting down: it finishes running requests and accepts no new ones."""

    status = 503
    name = "draining"
    title = "Shutting down"
    retry_after_s = 5

    def __init__(self) -> None:
        super().__init__("this server is shutting down and takes no new requests: ask another, or try again")


class EngineFailed(ServiceError):
    """The device failed: running forecasts are lost, and a new engine or process continues."""

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
    """The queue is full."""

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
    """The request was not answered within its time limit."""

    status = 504
    name = "deadline-exceeded"
    title = "Deadline exceeded"


class ClientGone(ServiceError):
    """The client closed its connection before the answer."""

    status = 499
    name = "client-gone"
    title = "Client gone"

    def __init__(self) -> None:
        super().__init__("the client went away before the answer")


class ReloadFailed(ServiceError):
    """The bundle could not be reloaded; the previous one is still served."""

    status = 409
    name = "reload-failed"
    title = "Reload failed"

    def __init__(self) -> None:
        super().__init__(
            "the bundle in KRONOS_BUNDLE cannot be loaded; the one before serves on, and the log tells why"
        )


class MisdirectedRequest(ServiceError):
    """The Host header of a request to a server without keys names another machine."""

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
    """The media type or the compression of the body is not supported."""

    status = 415
    name = "unsupported-media-type"
    title = "Unsupported media type"


class BodyTooLarge(ServiceError):
    """The decompressed body is larger than this server accepts."""

    status = 413
    name = "request-entity-too-large"
    title = "Request Entity Too Large"


class SlowBody(ServiceError):
    """The body did not arrive in time."""

    status = 408
    name = "slow-body"
    title = "Slow body"


class Unauthorised(ServiceError):
    """The API key is missing or unknown."""

    status = 401
    name = "unauthorised"
    title = "Unauthorised"

    def __init__(self) -> None:
        super().__init__(
            "this server asks for an API key, and none that it knows was given",
            expected="the header Authorization: Bearer <key>",
        )


class Forbidden(ServiceError):
    """The API key does not allow this operation."""

    status = 403
    name = "forbidden"
    title = "Forbidden"
