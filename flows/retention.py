"""The flow retention: deletes old sample paths, inputs and, if wanted, forecasts that nothing needs any more.

``python -m flows.retention --dry-run`` shows what a run would delete.
"""

import argparse
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from prefect import flow, task
from prefect.artifacts import create_table_artifact
from prefect.logging import get_run_logger
from pydantic import Field

from flows.runtime.arguments import positive
from flows.runtime.commands import run_command
from flows.runtime.parameters import parameter
from flows.runtime.retries import RETRIED
from flows.runtime.run_records import RECORDED
from flows.runtime.time_limits import DAILY_RUN_S
from flows.scoring.outdated import (
    BATCH,
    PAUSE_S,
    Outdated,
    Size,
    delete_outdated,
    forecasts_before,
    measure_outdated,
)
from market.timeframes import TIMEFRAMES
from sql.connect import connect
from sql.loading import load

Days = Annotated[int, Field(ge=1, le=36_500)]
KeepSamplesDays = Annotated[
    Days | None,
    parameter("Sample paths go so many days after the forecast's last candle. None: they stay."),
]
KeepInputsDays = Annotated[
    Days | None,
    parameter("Settings and event arrays go so many days after they were stored. None: they stay."),
]
KeepForecastsDays = Annotated[
    Days | None,
    parameter("Forecasts go so many days after their last candle; their scores stay. None: they stay."),
]
Batch = Annotated[int, parameter("Rows of one transaction.", ge=1, le=100_000)]
Pause = Annotated[float, parameter("Seconds between two transactions.", ge=0, le=60)]
DryRun = Annotated[bool, parameter("Whether rows and bytes are counted, and nothing is deleted.")]


@flow(name="retention", timeout_seconds=DAILY_RUN_S, **RECORDED)
def retention(
    keep_samples_days: KeepSamplesDays = 30,
    keep_inputs_days: KeepInputsDays = 31,
    keep_forecasts_days: KeepForecastsDays = None,
    batch: Batch = BATCH,
    pause_s: Pause = PAUSE_S,
    dry_run: DryRun = False,
) -> list[dict[str, Any]]:
    """Delete what is old and not needed any more, in short transactions.

    What is not scored in its present state stays, and so do the newest forecast of each symbol and model with
    its inputs, and all scores. None for a number of days keeps everything of that kind.

    Parameters
    ----------
    keep_samples_days
        Sample paths go so many days after the forecast's last candle.
    keep_inputs_days
        Settings and event arrays of forecasts (``prediction_inputs``) go so many days after they were stored.
    keep_forecasts_days
        Forecasts go so many days after their last candle, at the earliest when no calibration learns from
        them any more: after 68 days for hourly and 1,103 days for daily ones.
    batch, pause_s
        Rows of one transaction, and the seconds between two.
    dry_run
        Whether rows and bytes are only counted.

    Returns
    -------
    list of dict
        The rows of the table that the run publishes.
    """
    found = outdated_now(datetime.now(UTC), keep_samples_days, keep_inputs_days, keep_forecasts_days)
    timeframes = forecast_timeframes()
    table = [
        _row(each, dry_run, measure(each) if dry_run else delete(each, batch, pause_s))
        for each in found
        if each.timeframe in timeframes
    ]
    create_table_artifact(
        key="retention",
        table=table,
        description="What would be deleted; nothing was." if dry_run else "What was deleted.",
    )
    return table


def outdated_now(
    now: datetime, samples_days: int | None, inputs_days: int | None, forecasts_days: int | None
) -> list[Outdated]:
    """Return what may go at an instant; sample paths first, which are the largest part."""
    found = []
    for timeframe in TIMEFRAMES:
        if samples_days is not None:
            found.append(Outdated("samples", timeframe, now - timedelta(days=samples_days)))
        if inputs_days is not None:
            found.append(Outdated("inputs", timeframe, now - timedelta(days=inputs_days)))
        if forecasts_days is not None:
            before = forecasts_before(timeframe, now, timedelta(days=forecasts_days))
            found.append(Outdated("forecasts", timeframe, before))
    return found


@task(name="timeframes", **RETRIED)
def forecast_timeframes() -> set[str]:
    """Return the timeframes that may have forecasts: 1h, 1d, and those of which there was a live run."""
    with connect(autocommit=True) as connection:
        rows = connection.execute(load("timeframes_of_runs"), {"timeframes": list(TIMEFRAMES)})
        return {"1h", "1d", *(timeframe for (timeframe,) in rows)}


@task(name="count", task_run_name="count {outdated.kind} of {outdated.timeframe}", **RETRIED)
def measure(outdated: Outdated) -> Size:
    """Count the rows that may go, and their bytes."""
    with connect() as connection:
        return measure_outdated(connection, outdated)


@task(name="delete", task_run_name="delete {outdated.kind} of {outdated.timeframe}", **RETRIED)
def delete(outdated: Outdated, batch: int, pause_s: float) -> Size:
    """Delete the rows that may go."""
    with connect() as connection:
        return Size(delete_outdated(connection, outdated, batch, pause_s), 0)


def _row(outdated: Outdated, dry_run: bool, size: Size) -> dict[str, Any]:
    """Return a row of the table, and write it to the log."""
    verb = "would delete" if dry_run else "deleted"
    amount = f" ({size.bytes / 1e6:,.1f} MB)" if dry_run else ""
    get_run_logger().info(
        "%s %s %s of %s forecasts from before %s%s",
        verb,
        f"{size.rows:,}",
        {"samples": "sets of sample paths", "inputs": "inputs", "forecasts": "rows"}[outdated.kind],
        outdated.timeframe,
        f"{outdated.before:%Y-%m-%d %H:%M} UTC",
        amount,
    )
    return {
        "what": outdated.kind,
        "timeframe": outdated.timeframe,
        "from before": f"{outdated.before:%Y-%m-%d %H:%M}",
        verb: size.rows,
        **({"MB": f"{size.bytes / 1e6:.1f}"} if dry_run else {}),
    }


def main(arguments: list[str] | None = None, prog: str = "python -m flows.retention") -> int:
    """Run the flow once; the exit status is 1 where it failed."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="count rows and bytes, and delete nothing")
    for name, default, what in (
        ("samples", 30, "sample paths"),
        ("inputs", 31, "settings and event arrays of forecasts"),
        ("forecasts", None, "forecasts; their scores stay"),
    ):
        parser.add_argument(
            f"--keep-{name}-days",
            type=_days,
            default=default,
            metavar="DAYS",
            help=f"days for which to keep {what}, or all ({default or 'all'} unless given)",
        )
    return run_command(parser, retention, vars(parser.parse_args(arguments)))


def _days(text: str) -> int | None:
    """Return a number of days, or None for the word ``all``; a type of argparse."""
    return None if text == "all" else positive(text)


if __name__ == "__main__":
    raise SystemExit(main())
