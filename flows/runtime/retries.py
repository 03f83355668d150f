"""Decides which failures of a task are retried, and when.

Timeouts are retried less often than immediate failures. A forecast that timed out is not retried: the server
would start it from the beginning and need as long again, while other symbols wait. A statement that timed out
is retried once: the lock that it waited for may be released, and if it is not, each try delays the run.
A deadlock and a failed serialization are errors of psycopg's class OperationalError, and so retried.
"""

from typing import Any, Final

import psycopg
from prefect import State
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import TaskRun

from flows.runtime.database import StatementTimeout
from flows.runtime.settings import RETRY_DELAYS_S
from inference_server.client import ServerTimeout, ServerUnavailable
from sql.errors import DatabaseError, UnusableUrl

STATEMENT_TRIES: Final = 2
"""Tries of a task whose statement timed out in the database."""

RETRY_JITTER: Final = 0.3
"""Share of a wait by which it varies: tasks that failed together are not tried again at the same moment."""


def worth_another_try(_task: Any, run: TaskRun, state: State[Any]) -> bool:
    """Return whether a task failed because the server or the database was unavailable; refusals are final."""
    failure = state.result(raise_on_failure=False)
    if isinstance(failure, ServerTimeout | UnusableUrl):
        return False
    if isinstance(failure, StatementTimeout):
        return run.run_count < STATEMENT_TRIES
    return isinstance(failure, ServerUnavailable | DatabaseError | psycopg.OperationalError)


RETRIED: dict[str, Any] = {
    "retries": len(RETRY_DELAYS_S),
    "retry_delay_seconds": list(RETRY_DELAYS_S),
    "retry_jitter_factor": RETRY_JITTER,
    "retry_condition_fn": worth_another_try,
    "cache_policy": NO_CACHE,
}
