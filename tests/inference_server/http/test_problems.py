"""Errors as problem details: statuses, fields and headers, and nothing of the inside."""

import msgspec
import pytest
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException

from inference_server import errors
from inference_server.http.problems import TYPE_PREFIX, headers_of, problem_of
from market.candles import CandleError


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        (errors.InvalidBody("x"), 422, "invalid-body"),
        (errors.InvalidRequest("x"), 422, "invalid-request"),
        (errors.InvalidEvents("x"), 422, "invalid-events"),
        (errors.TooFewCandles("x"), 422, "too-few-candles"),
        (errors.BeyondLimit("x"), 422, "beyond-limit"),
        (errors.UnknownSymbol("x"), 404, "unknown-symbol"),
        (errors.DatabaseUnavailable("x"), 503, "database-unavailable"),
        (errors.NoDatabase("x"), 503, "database-unavailable"),
        (errors.ModelNotReady("x"), 503, "model-not-ready"),
        (CandleError("x", "open", 3), 422, "invalid-candles"),
        (NotFoundException(), 404, "not-found"),
        (MethodNotAllowedException(), 405, "method-not-allowed"),
        (HTTPException(status_code=413), 413, "request-entity-too-large"),
        (HTTPException(status_code=500, detail="SELECT secret"), 500, "internal-error"),
        (RuntimeError("/etc/secret"), 500, "internal-error"),
    ],
)
def test_status_and_type_of_every_error(error: Exception, status: int, name: str) -> None:
    problem = problem_of(error, "/predict")
    assert (problem.status, problem.type, problem.instance) == (status, TYPE_PREFIX + name, "/predict")
    assert problem.title
    assert problem.detail
    assert "secret" not in str(problem)


def test_given_and_expected_are_shown_where_there_are_any() -> None:
    shown = msgspec.to_builtins(problem_of(errors.InvalidRequest("bad", given=5, expected="1 … 3")))
    assert (shown["given"], shown["expected"]) == (5, "1 … 3")
    assert set(msgspec.to_builtins(problem_of(errors.InvalidRequest("bad")))) == {
        "type",
        "title",
        "status",
        "detail",
    }


def test_headers_tell_when_to_try_again_and_what_is_allowed() -> None:
    assert headers_of(errors.DatabaseUnavailable("x")) == {"Retry-After": "5"}
    assert headers_of(errors.NoDatabase("x")) == {}
    assert headers_of(MethodNotAllowedException(headers={"Allow": "POST"})) == {"Allow": "POST"}
    assert headers_of(ValueError()) == {}
