"""Which failures of a task are worth another try, and when.

What took too long gets fewer tries than what failed at once. A forecast that was not done in time gets none:
the server would begin it anew and need as long again, while other symbols wait. A statement that was given up
gets one more: the lock that it waited for may be gone, and where it is not, each try holds up the run.
"""

from typing import Any, Final

import psycopg
from prefect import State
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import TaskRun

from flows.database import StatementTimeout
from flows.settings import RETRY_DELAYS_S
from inference_server.client import ServerTimeout, ServerUnavailable
from sql.errors import DatabaseError

STATEMENT_TRIES: Final = 2
"""Tries of a task whose statement the database gave up for its time."""


def worth_another_try(_task: Any, run: TaskRun, state: State[Any]) -> bool:
    """Return whether a task failed for want of the server or the database; what is refused stays refused."""
    failure = state.result(raise_on_failure=False)
    if isinstance(failure, ServerTimeout):
        return False
    if isinstance(failure, StatementTimeout):
        return run.run_count < STATEMENT_TRIES
    return isinstance(failure, ServerUnavailable | DatabaseError | psycopg.OperationalError)


RETRIED: dict[str, Any] = {
    "retries": len(RETRY_DELAYS_S),
    "retry_delay_seconds": list(RETRY_DELAYS_S),
    "retry_condition_fn": worth_another_try,
    "cache_policy": NO_CACHE,
}
