"""Maps every error to RFC 9457 problem details and response headers."""

import re
from http import HTTPStatus
from typing import Final

from litestar.exceptions import HTTPException, ValidationException

from inference_server.errors import (
    BodyTooLarge,
    InvalidBody,
    InvalidCandles,
    InvalidHeader,
    InvalidQuery,
    ServiceError,
    Unauthorised,
)
from inference_server.metrics import Metrics
from inference_server.schemas import Problem
from market.candles import CandleError

TYPE_PREFIX: Final = "urn:kronos-events:problem:"

_HTTP_DETAILS: Final = {
    404: "there is no such route; /docs lists them",
    405: "the route does not take this method; the header Allow names those it takes",
    413: "the body is larger than this server takes; GET /model tells max_body_bytes (KRONOS_MAX_BODY_BYTES)",
}
_HTTP_TITLES: Final = {413: BodyTooLarge.title}
"""In place of the standard library's names, which Python 3.13 changed: a problem has one type everywhere."""


def problem_of(error: Exception, instance: str | None = None) -> Problem:
    """Return an exception as problem details; those of an unexpected one reveal nothing about it.

    Parameters
    ----------
    error
        An exception that was raised while a request was answered.
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
        title = _HTTP_TITLES.get(error.status_code, HTTPStatus(error.status_code).phrase)
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
    """Return an exception as problem details, and count it."""
    problem = problem_of(error, instance)
    metrics.refused(problem.type.removeprefix(TYPE_PREFIX))
    return problem


def _not_validated(error: ValidationException) -> ServiceError:
    """Return the error for a query parameter, a header or an empty body that Litestar refused."""
    for problem in error.extra if isinstance(error.extra, list) else []:
        if isinstance(problem, dict) and problem.get("source") == "query":
            return InvalidQuery(f"the query parameter {problem.get('key')}: {problem.get('message')}")
        if isinstance(problem, dict) and problem.get("source") == "header":
            return InvalidHeader(
                f"the header {str(problem.get('key')).replace('_', '-')}: {problem.get('message')}"
            )
    missing = re.match("Missing required query parameter '([^']+)'", error.detail)
    if missing is not None:
        return InvalidQuery(f"the query parameter {missing[1]} is missing; /docs tells what it may be")
    return InvalidBody("the body is empty; expected a JSON object")


def headers_of(error: Exception) -> dict[str, str]:
    """Return the headers of an exception's response, such as Retry-After or Allow."""
    if isinstance(error, HTTPException):
        return dict(error.headers or {})
    if isinstance(error, Unauthorised):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, ServiceError) and error.retry_after_s is not None:
        return {"Retry-After": str(error.retry_after_s)}
    return {}
