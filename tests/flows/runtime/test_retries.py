"""Which failures of a task are tried again: what failed at once rather than what took too long."""

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from prefect import flow, task
from prefect.logging import disable_run_logger
from prefect.states import Failed

from flows.runtime.database import StatementTimeout
from flows.runtime.retries import RETRIED, RETRY_JITTER, can_heal, with_retries, worth_another_try
from flows.runtime.settings import RETRY_DELAYS_S
from flows.runtime.time_limits import OutOfTime
from inference_server.client import PredictionRefused, ServerTimeout, ServerUnavailable
from inference_server.schemas import Problem
from sql.errors import DatabaseError, UnusableUrl


@pytest.mark.parametrize(
    ("failure", "after_tries"),
    [
        (ServerUnavailable("no connection"), {1, 2, 3}),
        (DatabaseError("no connection"), {1, 2, 3}),
        (psycopg.OperationalError("the connection was lost"), {1, 2, 3}),
        (psycopg.errors.DeadlockDetected("deadlock detected"), {1, 2, 3}),
        (psycopg.errors.SerializationFailure("could not serialize access"), {1, 2, 3}),
        (psycopg.errors.AdminShutdown("terminating connection"), {1, 2, 3}),
        (StatementTimeout("a lock"), {1}),
        (ServerTimeout("Deadline exceeded", 504), set()),
        (OutOfTime("the run has to end"), set()),
        (PredictionRefused(422, Problem(title="No", status=422, detail="no")), set()),
        (UnusableUrl("DATABASE_URL is not a Postgres URL"), set()),
        (psycopg.errors.UndefinedColumn("no such column"), set()),
        (psycopg.errors.NotNullViolation("a null"), set()),
        (ValueError("a fault"), set()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_tried_again(failure: Exception, after_tries: set[int]) -> None:
    def another(tries: int) -> bool:
        run: Any = SimpleNamespace(run_count=tries)
        return worth_another_try(None, run, Failed(data=failure))

    assert {tries for tries in (1, 2, 3) if another(tries)} == after_tries
    assert {tries for tries in (1, 2, 3) if can_heal(failure, tries)} == after_tries


class Failing:
    """A step that fails so many times before it succeeds."""

    def __init__(self, failure: Exception, times: int) -> None:
        self.failure, self.times, self.tries = failure, times, 0

    def __call__(self) -> str:
        self.tries += 1
        if self.tries <= self.times:
            raise self.failure
        return "done"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The waits between the tries of a step, which are not waited for."""
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    with disable_run_logger():
        yield waited


@pytest.mark.parametrize("times", range(4))
def test_a_step_is_tried_again_until_it_succeeds(waits: list[float], times: int) -> None:
    step = Failing(ServerUnavailable("no connection"), times)
    assert with_retries("the step", step) == "done"
    assert step.tries == times + 1
    for waited, wait_s in zip(waits, RETRY_DELAYS_S[:times], strict=True):
        assert (1 - RETRY_JITTER) * wait_s <= waited <= (1 + RETRY_JITTER) * wait_s


@pytest.mark.parametrize(
    ("failure", "tries"),
    [
        (ServerUnavailable("no connection"), 4),
        (StatementTimeout("a lock"), 2),
        (ServerTimeout("Deadline exceeded", 504), 1),
        (ValueError("a fault"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_step_that_fails_for_good_raises_its_last_failure(
    waits: list[float], failure: Exception, tries: int
) -> None:
    step = Failing(failure, 99)
    with pytest.raises(type(failure)) as raised:
        with_retries("the step", step)
    assert raised.value is failure
    assert step.tries == tries
    assert len(waits) == tries - 1


@pytest.mark.usefixtures("prefect_server")
def test_waits_vary_by_a_share_of_each_delay(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect applies the factor to a list of delays too."""
    delays = [0.02, 0.05, 0.08]

    @task(**RETRIED | {"retry_delay_seconds": delays})
    def fail() -> None:
        raise ServerUnavailable("no connection")

    @flow
    def failing() -> None:
        fail()

    assert failing(return_state=True).is_failed()
    said = [re.search(r"will start (\S+) second", record.getMessage()) for record in caplog.records]
    waits = [float(match[1]) for match in said if match]
    assert len(waits) == len(delays)
    for wait, delay in zip(waits, delays, strict=True):
        assert (1 - RETRY_JITTER) * delay <= wait <= (1 + RETRY_JITTER) * delay
    assert waits != delays
