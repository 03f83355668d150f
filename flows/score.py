"""The flow score-forecasts: scores stored forecasts and learns calibrations of their envelopes.

``python -m flows.score --timeframe 1h`` runs it once in this process, with or without a Prefect server.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl
import psycopg
from prefect import State, flow, task
from prefect.artifacts import create_image_artifact, create_table_artifact
from prefect.logging import get_run_logger

from flows.events import EventError, load_config
from flows.events.source import read_calendar
from flows.forecasting.candles import read_candles
from flows.runtime.arguments import as_utc
from flows.runtime.commands import flow_arguments, run_command
from flows.runtime.database import database, limited_transaction
from flows.runtime.instruments import known_instruments
from flows.runtime.parameters import (
    AsOf,
    KeepSamplesDays,
    RecheckDays,
    ScoreAll,
    SummaryDays,
    TimeframeParameter,
)
from flows.runtime.retries import RETRIED
from flows.runtime.run_records import RECORDED, keep_figures
from flows.runtime.time_limits import DAILY_RUN_S, HOURLY_RUN_S
from flows.scoring.calibration_store import LearnedCalibration, learn_calibrations
from flows.scoring.changes import CALENDAR_MARGIN, mark_all, mark_changes
from flows.scoring.due import MOST_DUE, due_forecasts, scorable
from flows.scoring.forecast_scores import Closes, StoredForecast, score_forecasts
from flows.scoring.outdated import Outdated, delete_outdated
from flows.scoring.picture import data_url, reliability_picture
from flows.scoring.recent_coverage import refresh_recent_coverage
from flows.scoring.score_tables import calibration_lines, score_table
from flows.scoring.splits import summary
from flows.scoring.step_events import ReleaseDays
from flows.scoring.store import (
    MOST_SHOWN,
    ForecastKey,
    claim_forecasts,
    read_steps,
    release_forecasts,
    upsert_scores,
)
from flows.scoring.tally import Tally, final_state
from market.instruments import Instrument
from market.timeframes import CANDLE_DURATION, INTRADAY, Timeframe
from sql.connect import connect

CHUNK: Final = 500
"""Forecasts scored at once, so that a backlog of years needs no more memory than an hour's."""


@flow(name="score-forecasts", timeout_seconds=DAILY_RUN_S, **RECORDED)
def score(
    timeframe: TimeframeParameter = "1d",
    as_of: AsOf = None,
    recheck_days: RecheckDays = 7,
    summary_days: SummaryDays = 30,
    keep_samples_days: KeepSamplesDays = None,
    score_all: ScoreAll = False,
) -> Tally | State[Any]:
    """Score the stored forecasts whose horizon has passed, learn calibrations, and publish a summary.

    A forecast is scored again when it was made again, when a candle of it was late, and when one was
    corrected or the calendar around it was changed within `recheck_days`; otherwise it is not read again.

    Parameters
    ----------
    as_of
        Candles that had closed by then count; naive means UTC, None means now.
    recheck_days
        Corrections count for forecasts whose horizon passed within so many days.
    summary_days
        The table and the picture show forecasts whose horizon passed within so many days.
    keep_samples_days
        Stored sample paths of scored forecasts are deleted so many days after the horizon; None leaves them
        to the flow retention, which does the same.
    score_all
        Whether every forecast is scored again.

    Returns
    -------
    Tally or State
        The counts of the run, in a completed state whose name says whether the scores are without events.
    """
    instant = as_utc(as_of)
    tally = score_due(timeframe, instant, timedelta(days=recheck_days), score_all)
    keep_figures(tally.figures())
    learned = learn(timeframe, instant)
    if keep_samples_days is not None:
        forget(timeframe, instant - timedelta(days=keep_samples_days))
    publish(timeframe, instant, timedelta(days=summary_days), tally, learned)
    if as_of is None:  # a repeated past instant says nothing about the last week
        refresh_recent_coverage(timeframe, instant)
    return final_state(tally)


score_hourly = score.with_options(timeout_seconds=HOURLY_RUN_S)
"""The same flow for a schedule that runs it every hour."""


@task(name="score what is due", **RETRIED)
def score_due(timeframe: Timeframe, as_of: datetime, recheck: timedelta, score_all: bool = False) -> Tally:
    """Score forecasts chunk by chunk; each chunk is stored as it is done."""
    tally = Tally()
    with connect() as connection:
        with limited_transaction(connection):
            instruments = known_instruments(connection)
        mark_changes(connection, timeframe, sorted(instruments), as_of, as_of - recheck)
        if score_all:
            mark_all(connection, timeframe, sorted(instruments))
        is_more = True
        while is_more:
            with limited_transaction(connection):
                forecasts = due_forecasts(connection, timeframe, as_of)
            keys, unscorable = scorable(forecasts, instruments, timeframe, as_of)
            before = tally.scored
            for chunk in _chunks(keys):
                with limited_transaction(connection):
                    _score_chunk(connection, chunk, instruments, timeframe, as_of, tally)
            is_more = len(forecasts) == MOST_DUE and tally.scored > before
        tally.count_unscored((key.symbol, reason) for key, reason in unscorable)
    for remark in tally.remarks():
        get_run_logger().warning(remark)
    return tally


def _chunks(keys: Sequence[ForecastKey]) -> Iterator[Sequence[ForecastKey]]:
    """Yield keys some at a time; a chunk ends where the next key is older, as its candles span its keys."""
    start = 0
    for end in range(1, len(keys) + 1):
        if end == len(keys) or end - start == CHUNK or keys[end].as_of < keys[end - 1].as_of:
            yield keys[start:end]
            start = end


def _score_chunk(
    connection: psycopg.Connection[Any],
    keys: Sequence[ForecastKey],
    instruments: Mapping[str, Instrument],
    timeframe: Timeframe,
    as_of: datetime,
    tally: Tally,
) -> None:
    forecasts = claim_forecasts(connection, timeframe, keys)
    if not forecasts:
        return
    closes = _read_closes(connection, forecasts, timeframe, as_of)
    releases = _read_releases(connection, forecasts, tally)
    scores, unscored = score_forecasts(forecasts, instruments, timeframe, closes, releases)
    new, changed = upsert_scores(connection, timeframe, scores)
    release_forecasts(connection, timeframe, [forecast for forecast, _ in unscored])
    tally.new += new
    tally.changed += changed
    tally.unchanged += len(scores) - new - changed
    tally.count_unscored((forecast.symbol, reason) for forecast, reason in unscored)


def _read_closes(
    connection: psycopg.Connection[Any],
    forecasts: Sequence[StoredForecast],
    timeframe: Timeframe,
    as_of: datetime,
) -> Closes:
    """Read the candles from the one that the first forecast started from to the last step of any."""
    first = min(forecast.as_of for forecast in forecasts)
    last = max(time for forecast in forecasts for time in (forecast.as_of, *forecast.timestamps))
    length = CANDLE_DURATION[timeframe]
    end = min(
        as_of, last + length
    )  # by which the last candle has closed: aggregated ones are read when closed
    symbols = sorted({forecast.symbol for forecast in forecasts})
    return Closes(read_candles(connection, timeframe, symbols, int((end - first) / length) + 1, end))


def _read_releases(
    connection: psycopg.Connection[Any], forecasts: Sequence[StoredForecast], tally: Tally
) -> ReleaseDays | None:
    """Read the calendar around the forecasts; None where it has no releases, with the reason in the tally."""
    times = [time for forecast in forecasts for time in (forecast.timestamps[:1] + forecast.timestamps[-1:])]
    if not times:
        return None
    calendar, rates = read_calendar(connection, min(times) - CALENDAR_MARGIN, max(times) + CALENDAR_MARGIN)
    try:
        if calendar.is_empty():
            raise EventError(
                f"no calendar rows between {min(times):%Y-%m-%d} and {max(times):%Y-%m-%d}; load them with "
                "python -m flows.load calendar FILE"
            )
        symbols = sorted({forecast.symbol for forecast in forecasts})
        return ReleaseDays(calendar, rates, symbols, load_config())
    except EventError as error:
        tally.without_events = str(error)
        return None


@task(name="learn calibrations", **RETRIED)
def learn(timeframe: Timeframe, as_of: datetime) -> list[LearnedCalibration]:
    """Learn how far the envelopes must be widened, once a day."""
    with database() as connection:
        return learn_calibrations(connection, timeframe, as_of, known_instruments(connection))


@task(name="forget sample paths", **RETRIED)
def forget(timeframe: Timeframe, matured_before: datetime) -> int:
    """Delete stored sample paths that are no longer needed."""
    with connect() as connection:
        return delete_outdated(connection, Outdated("samples", timeframe, matured_before))


@task(name="publish", **RETRIED)
def publish(
    timeframe: Timeframe,
    as_of: datetime,
    span: timedelta,
    tally: Tally,
    learned: Sequence[LearnedCalibration],
) -> None:
    """Publish the table of splits and the reliability picture of the forecasts that matured in a span."""
    with database() as connection:
        steps, matured = read_steps(connection, timeframe, as_of - span, as_of)
    days = f"{as_of - span:%Y-%m-%d} to {as_of:%Y-%m-%d %H:%M} UTC"
    heading = f"{timeframe} forecasts whose horizon passed from {days}"
    counts = tally.counts()
    if matured > MOST_SHOWN:
        counts += f" The figures are of a sample of about {MOST_SHOWN:,} of {matured:,} forecasts."
    get_run_logger().info(counts)
    create_table_artifact(
        key=f"score-{timeframe}",
        table=score_table(summary(steps)),
        description="\n\n".join([heading, tally.counts(), *tally.remarks(), *calibration_lines(learned)]),
    )
    for model in _drawable(steps):
        part = steps.filter(pl.col("model") == model)
        create_image_artifact(
            key=f"score-{timeframe}-reliability",
            image_url=data_url(reliability_picture(part, f"{model}, {heading}")),
            description=f"Reliability of {model}",
        )


def _drawable(steps: pl.DataFrame) -> list[str]:
    """Return the models that have a known close, those with the newest forecasts last."""
    known = steps.filter(pl.col("actual").is_not_null())
    return known.group_by("model").agg(pl.col("as_of").max()).sort("as_of", "model")["model"].to_list()


def main(arguments: list[str] | None = None, prog: str = "python -m flows.score") -> int:
    """Run the flow once; the exit status is 1 where it failed."""
    parser = flow_arguments(prog, __doc__)
    parser.add_argument(
        "--recheck-days",
        type=int,
        default=7,
        help="corrected candles count for forecasts that matured within so many days (default 7)",
    )
    parser.add_argument(
        "--all", action="store_true", dest="score_all", help="score every forecast again, changed or not"
    )
    args = parser.parse_args(arguments)
    return run_command(parser, score_hourly if args.timeframe in INTRADAY else score, vars(args))


if __name__ == "__main__":
    raise SystemExit(main())
