"""Every refusal of the server, with its HTTP status; `http.problems` makes problem details of them."""

from typing import Any, ClassVar


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
