"""Which failures of a task are worth another try, and when."""

from typing import Any

import psycopg
from prefect import State
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import TaskRun

from flows.settings import RETRY_DELAYS_S
from inference_server.client import ServerUnavailable
from sql.errors import DatabaseError


def worth_another_try(_task: Any, _run: TaskRun, state: State[Any]) -> bool:
    """Return whether a task failed for want of the server or the database; what is refused stays refused."""
    failure = state.result(raise_on_failure=False)
    return isinstance(failure, ServerUnavailable | DatabaseError | psycopg.OperationalError)


RETRIED: dict[str, Any] = {
    "retries": len(RETRY_DELAYS_S),
    "retry_delay_seconds": list(RETRY_DELAYS_S),
    "retry_condition_fn": worth_another_try,
    "cache_policy": NO_CACHE,
}
