"""Which failures of a task are tried again: what failed at once rather than what took too long."""

from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from prefect.states import Failed

from flows.database import StatementTimeout
from flows.retries import worth_another_try
from flows.time_limits import OutOfTime
from inference_server.client import PredictionRefused, ServerTimeout, ServerUnavailable
from inference_server.schemas import Problem
from sql.errors import DatabaseError


@pytest.mark.parametrize(
    ("failure", "after_tries"),
    [
        (ServerUnavailable("no connection"), {1, 2, 3}),
        (DatabaseError("no connection"), {1, 2, 3}),
        (psycopg.OperationalError("the connection was lost"), {1, 2, 3}),
        (StatementTimeout("a lock"), {1}),
        (ServerTimeout("Deadline exceeded", 504), set()),
        (OutOfTime("the run has to end"), set()),
        (PredictionRefused(422, Problem(title="No", status=422, detail="no")), set()),
        (ValueError("a fault"), set()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_tried_again(failure: Exception, after_tries: set[int]) -> None:
    def another(tries: int) -> bool:
        run: Any = SimpleNamespace(run_count=tries)
        return worth_another_try(None, run, Failed(data=failure))

    assert {tries for tries in (1, 2, 3) if another(tries)} == after_tries
