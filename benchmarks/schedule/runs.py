"""Reads the scheduled runs of an installation, and says which of them were late."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
)
from prefect.client.schemas.sorting import FlowRunSort

from benchmarks.schedule.installation import DEPLOYMENTS
from benchmarks.schedule.market import STEP, SYMBOLS, last_close
from benchmarks.schedule.watch import Watch

FORECASTS, SCORES = DEPLOYMENTS

PERIOD: Final = {FORECASTS: STEP, SCORES: timedelta(hours=1)}
"""Time from one run of a deployment to the next."""

LATE: Final = "Late"
"""Prefect's state of a run that no worker has taken 15 s after it was due."""

COMPLETED: Final = "COMPLETED"


@dataclass(frozen=True)
class ScheduledRun:
    """A run that was due.

    Attributes
    ----------
    deployment
        Name of its deployment.
    due, began, ended
        When it was to begin, and when it began and ended.
    kind
        Prefect's type of its last state.
    states
        Names of its states, in order.
    rows
        Forecasts of the candle that closed before it was due; None for a run that makes none.
    rows_at
        When the last of them was seen in the database.
    """

    deployment: str
    due: datetime
    began: datetime | None
    ended: datetime | None
    kind: str
    states: tuple[str, ...]
    rows: int | None = None
    rows_at: datetime | None = None

    @property
    def candle_closed(self) -> datetime:
        """The close of the last candle before the run was due."""
        return last_close(self.due)

    def faults(self) -> list[str]:
        """Return what makes the run late or incomplete."""
        faults = []
        if LATE in self.states:
            faults.append("no worker took it in time")
        if self.kind != COMPLETED:
            faults.append(f"it is {self.states[-1]}")
        elif self.ended is None or self.ended >= self.due + PERIOD[self.deployment]:
            faults.append("it ended after the next one was due")
        if self.rows is not None and self.rows < len(SYMBOLS):
            faults.append(f"{self.rows} of {len(SYMBOLS)} rows")
        return faults


def read_runs(client: SyncPrefectClient, watch: Watch) -> list[ScheduledRun]:
    """Return the runs that were due in the span of a watch, in order."""
    found = []
    for name in DEPLOYMENTS:
        runs = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                expected_start_time=FlowRunFilterExpectedStartTime.model_validate(
                    {"after_": watch.first, "before_": watch.end}
                )
            ),
            deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[name])),
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        )
        for run in runs:
            assert run.expected_start_time is not None
            assert run.state_type is not None
            close, makes_rows = last_close(run.expected_start_time), name == FORECASTS
            found.append(
                ScheduledRun(
                    name,
                    run.expected_start_time,
                    run.start_time,
                    run.end_time,
                    run.state_type.value,
                    tuple(state.name or "" for state in client.read_flow_run_states(run.id)),
                    watch.rows.get(close, 0) if makes_rows else None,
                    watch.rows_at.get(close) if makes_rows else None,
                )
            )
    return sorted(found, key=lambda run: run.due)


def faults(runs: Sequence[ScheduledRun], first: datetime, end: datetime) -> list[str]:
    """Return a sentence for each run that was late, and for each candle for which no run was due.

    Parameters
    ----------
    first, end
        Closes of the first candle and of the first one after the last.
    """
    late = [
        f"{run.deployment} {run.due:%H:%M:%S}: {', '.join(wrong)}" for run in runs if (wrong := run.faults())
    ]
    due = {run.candle_closed for run in runs if run.deployment == FORECASTS}
    closes = [first + STEP * step for step in range((end - first) // STEP)]
    return late + [
        f"no run for the candle that closed at {close:%H:%M}" for close in closes if close not in due
    ]
