"""Formats what runs on a machine as tables."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from rich import box
from rich.console import RenderableType
from rich.table import Table

from flows.supervision.health import Health, ProgramHealth
from flows.supervision.prefect_api import DeploymentState


def report(health: Health, now: datetime) -> Iterator[RenderableType]:
    """Yield the tables of programs and deployments, and what is wrong.

    Parameters
    ----------
    now
        Aware instant, for the ages of what is shown.
    """
    yield program_table(health.programs, now)
    yield f"logs: {health.logs}/PROCESS.log"
    if health.deployments is None:
        yield "The Prefect server does not answer, so nothing is known of the runs."
    else:
        yield deployment_table(health.deployments, now)
    for problem in health.problems:
        yield f"PROBLEM: {problem}"
    if not health.problems and health.deployments is not None:
        yield "Everything runs."


def program_table(found: Sequence[ProgramHealth], now: datetime) -> Table:
    """Return the programs with state, age, process id and address."""
    table = _table("process", "state", "since", "pid", "address")
    for item in found:
        process = item.process
        table.add_row(
            item.program.name,
            program_state(item),
            "" if process is None or process.since is None else _age(now - process.since),
            "" if process is None or process.pid is None else str(process.pid),
            item.program.address,
        )
    return table


def program_state(item: ProgramHealth) -> str:
    """Return a program's state in a word: ready, not ready, or supervisord's own."""
    if item.process is None:
        return "not running"
    if item.process.runs and item.ready is not None:
        return "ready" if item.ready else "not ready"
    return item.process.state.lower()


def deployment_table(deployments: Sequence[DeploymentState], now: datetime) -> Table:
    """Return the deployments with the state and age of the last run and the time until the next one."""
    table = _table("deployment", "last run", "ago", "next run, UTC", "in")
    for deployment in deployments:
        table.add_row(
            deployment.name,
            deployment.last_state or "none yet",
            "" if deployment.last_at is None else _age(now - deployment.last_at),
            _next(deployment),
            "" if deployment.next_at is None else _age(deployment.next_at - now),
        )
    return table


def _next(deployment: DeploymentState) -> str:
    if deployment.paused:
        return "paused"
    return "no schedule" if deployment.next_at is None else f"{deployment.next_at:%Y-%m-%d %H:%M}"


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=0)
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _age(age: timedelta) -> str:
    """Return a duration in its largest unit, such as ``5 min``; what lies in the past is 0 s."""
    seconds = max(0, int(age.total_seconds()))
    for name, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {name}"
    return f"{seconds} s"
