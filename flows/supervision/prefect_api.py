"""Asks the machine's Prefect server about deployments and runs, and starts and ends runs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from prefect.client.base import ServerType
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Crashed

_ANSWER_S: Final = 10.0
_WITH_A_PROCESS: Final = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
_ENDED: Final = [StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED]


@dataclass(frozen=True)
class DeploymentState:
    """A deployment with its last run and its next one.

    Attributes
    ----------
    name
        Such as ``predict-batch/predict-1h``.
    last_state
        Name of the state of the last run that began or ended, such as ``Completed``; None if none has.
    last_failed
        Whether that run failed or crashed.
    last_at
        When it began, UTC.
    next_at
        When the next run is due, UTC; None without a schedule.
    paused
        Whether its schedules are paused.
    overdue
        Runs that are due and have not begun.
    """

    name: str
    last_state: str | None
    last_failed: bool
    last_at: datetime | None
    next_at: datetime | None
    paused: bool
    overdue: int


@contextmanager
def prefect_client(secrets: Mapping[str, str]) -> Iterator[SyncPrefectClient]:
    """Open a client of the machine's Prefect server.

    Parameters
    ----------
    secrets
        `flows.supervision.secrets.read_secrets`: address and password.
    """
    client = SyncPrefectClient(
        secrets["PREFECT_API_URL"],
        auth_string=secrets["PREFECT_API_AUTH_STRING"],
        httpx_settings={"timeout": _ANSWER_S, "trust_env": False},
        server_type=ServerType.SERVER,
    )
    with client:
        yield client


def deployment_states(client: SyncPrefectClient, late_s: float = 60.0) -> list[DeploymentState]:
    """Return every deployment, sorted by name.

    Parameters
    ----------
    late_s
        Seconds after which a run that was due and has not begun is overdue.

    Raises
    ------
    httpx.HTTPError
        The server does not answer.
    """
    flows = {flow.id: flow.name for flow in client.read_flows()}
    states = [
        _state(client, f"{flows.get(deployment.flow_id, '?')}/{deployment.name}", deployment, late_s)
        for deployment in client.read_deployments()
    ]
    return sorted(states, key=lambda state: state.name)


def _state(
    client: SyncPrefectClient, name: str, deployment: DeploymentResponse, late_s: float
) -> DeploymentState:
    ids = FlowRunFilterDeploymentId(any_=[deployment.id])

    def runs(kinds: list[StateType], sort: FlowRunSort, limit: int) -> list[FlowRun]:
        wanted = FlowRunFilterState(type=FlowRunFilterStateType(any_=kinds))
        return client.read_flow_runs(
            flow_run_filter=FlowRunFilter(deployment_id=ids, state=wanted), sort=sort, limit=limit
        )

    last = next(iter(runs([*_ENDED, StateType.RUNNING], FlowRunSort.EXPECTED_START_TIME_DESC, 1)), None)
    scheduled = runs([StateType.SCHEDULED], FlowRunSort.EXPECTED_START_TIME_ASC, 50)
    due = [run.expected_start_time for run in scheduled if run.expected_start_time is not None]
    overdue_before = datetime.now(UTC) - timedelta(seconds=late_s)
    return DeploymentState(
        name=name,
        last_state=None if last is None or last.state is None else last.state.name,
        last_failed=last is not None and last.state_type in (StateType.FAILED, StateType.CRASHED),
        last_at=None if last is None else last.start_time or last.expected_start_time,
        next_at=due[0] if due else None,
        paused=deployment.paused,
        overdue=sum(moment < overdue_before for moment in due),
    )


def start_run(client: SyncPrefectClient, deployment: str, name: str) -> None:
    """Let a worker run a deployment as soon as it looks for work."""
    found = client.read_deployment_by_name(deployment)
    client.create_flow_run_from_deployment(found.id, name=name)


def runs_with_a_process(client: SyncPrefectClient) -> list[FlowRun]:
    """Return the runs that a worker has taken and that have not ended.

    Raises
    ------
    httpx.HTTPError
        The server does not answer.
    """
    wanted = FlowRunFilterState(type=FlowRunFilterStateType(any_=_WITH_A_PROCESS))
    return client.read_flow_runs(flow_run_filter=FlowRunFilter(state=wanted), limit=200)


def mark_crashed(client: SyncPrefectClient, runs: list[FlowRun], message: str) -> None:
    """Set runs whose process is gone to Crashed, so that they do not stay Running for ever.

    Raises
    ------
    httpx.HTTPError
        The server does not answer.
    """
    for run in runs:
        client.set_flow_run_state(run.id, Crashed(message=message), force=True)
