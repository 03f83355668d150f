"""Decides which failures of a task or of a step of one are retried, and when.

Timeouts are retried less often than immediate failures. A forecast that timed out is not retried: the server
would start it from the beginning and need as long again, while other symbols wait. A statement that timed out
is retried once: the lock that it waited for may be released, and if it is not, each try delays the run.
A deadlock and a failed serialization are errors of psycopg's class OperationalError, and so retried.
"""

import random
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import psycopg
from prefect import State
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import TaskRun
from prefect.logging import get_run_logger

from flows.runtime.database import StatementTimeout
from flows.runtime.settings import RETRY_DELAYS_S
from inference_server.client import ServerTimeout, ServerUnavailable
from sql.errors import DatabaseError, UnusableUrl

STATEMENT_TRIES: Final = 2
"""Tries of a task whose statement timed out in the database."""

RETRY_JITTER: Final = 0.3
"""Share of a wait by which it varies: tasks that failed together are not tried again at the same moment."""


T = TypeVar("T")


def can_heal(failure: object, tries: int) -> bool:
    """Return whether another try may succeed after `tries` of them: server or database was unavailable.

    Refusals and faults are final.
    """
    if isinstance(failure, ServerTimeout | UnusableUrl):
        return False
    if isinstance(failure, StatementTimeout):
        return tries < STATEMENT_TRIES
    return isinstance(failure, ServerUnavailable | DatabaseError | psycopg.OperationalError)


def worth_another_try(_task: Any, run: TaskRun, state: State[Any]) -> bool:
    """Return whether the failure of a task can heal."""
    return can_heal(state.result(raise_on_failure=False), run.run_count)


def with_retries(name: str, step: Callable[[], T]) -> T:
    """Make a step of a task, again after the failures and the waits after which a task with `RETRIED` is.

    Prefect takes 6 to 8 ms for a task, and 100 and more on Dask: too long for each symbol of a run of many.

    Parameters
    ----------
    name
        What the step does, for the log.

    Raises
    ------
    Exception
        What the last try raises.
    """
    for tries, wait_s in enumerate(RETRY_DELAYS_S, start=1):
        try:
            return step()
        except Exception as failure:
            if not can_heal(failure, tries):
                raise
            wait_s *= random.uniform(1 - RETRY_JITTER, 1 + RETRY_JITTER)
            get_run_logger().warning(
                "%s failed and is tried again in %.1f s: %s: %s",
                name,
                wait_s,
                type(failure).__name__,
                failure,
            )
        time.sleep(wait_s)
    return step()


RETRIED: dict[str, Any] = {
    "retries": len(RETRY_DELAYS_S),
    "retry_delay_seconds": list(RETRY_DELAYS_S),
    "retry_jitter_factor": RETRY_JITTER,
    "retry_condition_fn": worth_another_try,
    "cache_policy": NO_CACHE,
}
