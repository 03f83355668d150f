"""Records what a run did in the tables flow_runs and symbol_runs, from which the server makes its metrics.

A flow is recorded by the hooks `RECORDED`, which Prefect calls at the end of a run, failed ones included. The
flow hands them its counts with `keep_figures`. A run whose process was killed is not recorded: the time since
the last success shows it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from prefect import Flow, State
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.logging.loggers import flow_run_logger
from prefect.utilities.callables import get_parameter_defaults
from psycopg.types.json import Jsonb

from sql.connect import connect
from sql.loading import load

COMMAND_LINE: Final = "command line"
"""The name under which runs without a deployment are recorded."""

LONGEST_S: Final = 5
"""Seconds for the connection and for each statement: a run that has ended does not wait longer for its
record."""


@dataclass(frozen=True)
class RunFigures:
    """What a run did, in numbers.

    Attributes
    ----------
    counts
        Number of symbols or forecasts by outcome.
    without_events
        Number of forecasts that were made without events; None for a flow that makes none.
    succeeded
        By symbol whose forecast was stored or left unchanged, whether the forecast has events.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    without_events: int | None = None
    succeeded: Mapping[str, bool] = field(default_factory=dict)


_kept: Final[dict[UUID, RunFigures]] = {}


def keep_figures(figures: RunFigures) -> None:
    """Keep the figures of the current flow run until `record_run` writes them; outside of one do nothing."""
    context = FlowRunContext.get()
    if context is not None and context.flow_run is not None:
        _kept[context.flow_run.id] = figures


def record_run(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Write the end of a run to the database; a failure to do so is a warning of the run.

    A run with the parameter `as_of` repeats a past instant, so it says nothing about the schedule and is not
    recorded.
    """
    figures = _kept.pop(flow_run.id, RunFigures())
    try:
        parameters = get_parameter_defaults(flow.fn) | (flow_run.parameters or {})
        if parameters.get("as_of") is None:
            _write(_row(flow, flow_run, state, parameters, figures), figures.succeeded)
    except Exception as error:  # of any kind: the forecasts are stored, and the run has ended
        flow_run_logger(flow_run, flow).warning(
            "the metrics of the flows do not show this run, because it can't be recorded in the database: %s",
            error,
        )


RECORDED: Final[dict[str, Any]] = {
    "on_completion": [record_run],
    "on_failure": [record_run],
    "on_crashed": [record_run],
}
"""Keyword arguments of `prefect.flow` for a flow whose runs are recorded."""


def _row(
    flow: Flow[..., Any],
    flow_run: FlowRun,
    state: State[Any],
    parameters: Mapping[str, Any],
    figures: RunFigures,
) -> dict[str, Any]:
    """Return a row of flow_runs."""
    ended = state.timestamp
    return {
        "deployment": _deployment(flow_run),
        "flow": flow.name,
        "timeframe": str(parameters.get("timeframe", "")),
        "started_at": _started(flow_run) or ended,
        "ended_at": ended,
        "state": state.name,
        "succeeded_at": ended if state.is_completed() else None,
        "counts": Jsonb(dict(figures.counts)),
        "without_events": figures.without_events,
    }


def _started(flow_run: FlowRun) -> datetime | None:
    """Return when a run started; the engine's own copy of the flow run does not have it yet."""
    context = FlowRunContext.get()
    return flow_run.start_time if context is None else context.start_time


def _deployment(flow_run: FlowRun) -> str:
    if flow_run.deployment_id is None:
        return COMMAND_LINE
    with get_client(sync_client=True) as client:
        return client.read_deployment(flow_run.deployment_id).name


def _write(row: Mapping[str, Any], succeeded: Mapping[str, bool]) -> None:
    with connect(connect_timeout=LONGEST_S) as connection:
        connection.execute(load("statement_timeout"), {"milliseconds": 1000 * LONGEST_S})
        connection.execute(load("upsert_flow_run"), row)
        if succeeded:
            connection.execute(
                load("upsert_symbol_runs"),
                {
                    "timeframe": row["timeframe"],
                    "succeeded_at": row["ended_at"],
                    "symbols": list(succeeded),
                    "with_events": list(succeeded.values()),
                },
            )
