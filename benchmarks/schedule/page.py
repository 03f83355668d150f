"""Writes the figures of a schedule as Markdown."""

from collections.abc import Sequence
from datetime import datetime
from statistics import median

from benchmarks.schedule.installation import DEPLOYMENTS
from benchmarks.schedule.market import FEED_DELAY_S, HISTORY, SYMBOLS
from benchmarks.schedule.runs import ScheduledRun
from benchmarks.schedule.watch import Watch


def page(minutes: int, runs: Sequence[ScheduledRun], wrong: Sequence[str], watch: Watch, machine: str) -> str:
    """Return the page.

    Parameters
    ----------
    wrong
        Sentences about late runs.
    machine
        `benchmarks.machine.this_machine`.
    """
    waits = [(run.rows_at - run.candle_closed).total_seconds() for run in runs if run.rows_at is not None]
    stored = f"{median(waits):.0f} s in the median and {max(waits):.0f} s at most" if waits else "never"
    wanted = len(SYMBOLS) * sum(run.rows is not None for run in runs)
    counts = ", ".join(f"{sum(run.deployment == name for run in runs)} of {name}" for name in DEPLOYMENTS)
    lines = [
        "# A schedule of five minutes",
        "",
        f"`python -m benchmarks.schedule --minutes {minutes}`: `kronos up` starts Postgres, the Prefect "
        "server, a worker and the inference server with the demo model. "
        f"{len(SYMBOLS)} symbols that trade around the clock have {HISTORY:,} generated five-minute candles "
        f"each, and a feed stores the next ones in real time, {FEED_DELAY_S:g} s after their close. Beside "
        "the deployments of prefect.yaml there are predict-5m and score-5m as "
        "[docs/timeframes.md](../docs/timeframes.md) shows them. Late is a run that Prefect marked as Late, "
        "that did not complete, that ended after the next one was due, or whose rows are missing.",
        "",
        f"- Runs: {counts}, from {watch.first:%Y-%m-%d %H:%M} to {watch.end:%H:%M} UTC. "
        f"Late: {'; '.join(wrong) or 'none'}.",
        f"- Forecasts: {sum(run.rows or 0 for run in runs)} of {wanted} stored. All of a candle's were there "
        f"{stored} after its close.",
        "- The table has the seconds from when a run was due until it began and ended, and from the close of "
        "the candle until all its rows were there. A worker takes a run some seconds before it is due.",
        f"- The machine's load average was {min(watch.loads):.1f} to {max(watch.loads):.1f}.",
        "",
        "| deployment | due, UTC | began | ended | states | rows | all rows |",
        "|---|---|---|---|---|---|---|",
        *map(_row, runs),
        "",
        f"*{machine}*",
        "",
    ]
    return "\n".join(lines)


def _row(run: ScheduledRun) -> str:
    cells = (
        run.deployment,
        f"{run.due:%H:%M:%S}",
        _after(run.began, run.due),
        _after(run.ended, run.due),
        ", ".join(run.states),
        "–" if run.rows is None else str(run.rows),
        _after(run.rows_at, run.candle_closed),
    )
    return f"| {' | '.join(cells)} |"


def _after(moment: datetime | None, since: datetime) -> str:
    return "–" if moment is None else f"{(moment - since).total_seconds():.1f} s"
