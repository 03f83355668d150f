"""Errors of the Python client, and which of them an unsuccessful answer is."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import msgspec

from inference_server.frames import Forecast
from inference_server.schemas import Problem


class ClientError(Exception):
    """Base class of the errors of a call."""


class PredictionRefused(ClientError):
    """The server refused the request (4xx); a retry would be refused too."""

    def __init__(self, status: int, problem: Problem) -> None:
        super().__init__(f"{problem.title} ({status}): {problem.detail}")
        self.status = status
        self.problem = problem


class ServerUnavailable(ClientError):
    """No answer (no connection, timeout, 408, 429, 5xx): try again, after `retry_after_s` unless it is
    None."""

    def __init__(self, message: str, status: int | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class ServerTimeout(ServerUnavailable):
    """The forecast exceeded the server's time limit, or no answer arrived within the client's timeout.

    A retry takes as long again, since the server discards an unfinished forecast.
    """


class SymbolsFailed(ClientError):
    """Some symbols of a call for several have no forecast.

    Attributes
    ----------
    problems
        The server's error for each symbol that failed; a `status` of 429 or 5xx is worth a retry.
    forecast
        The forecasts of the other symbols, or None if all failed.
    """

    def __init__(self, problems: Mapping[str, Problem], forecast: Forecast[Any] | None) -> None:
        sentences = [
            f"{symbol}: {problem.title} ({problem.status}): {problem.detail}"
            for symbol, problem in problems.items()
        ]
        super().__init__("; ".join(sentences))
        self.problems = problems
        self.forecast = forecast


def failure_of(response: httpx.Response) -> ClientError:
    """Return the exception for an unsuccessful response, with the text of its problem details if it has
    any."""
    status = response.status_code
    try:
        problem = msgspec.json.decode(response.content, type=Problem)
    except msgspec.DecodeError:
        problem = Problem(title=response.reason_phrase, status=status, detail=response.text[:500])
    if status in (408, 429) or status >= 500:
        return (ServerTimeout if status == 504 else ServerUnavailable)(
            f"{problem.title} ({status}): {problem.detail}", status, _retry_after_s(response)
        )
    return PredictionRefused(status, problem)


def _retry_after_s(response: httpx.Response) -> float | None:
    """Return the seconds of a Retry-After header, which holds seconds or, from a proxy, an instant."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        instant = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (instant.replace(tzinfo=instant.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
