"""The flow score-forecasts: what became of stored forecasts, and what that teaches of their envelopes.

``python -m flows.score --timeframe 1h`` runs it once in this process, with or without a Prefect server.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl
import psycopg
from prefect import flow, task
from prefect.artifacts import create_image_artifact, create_table_artifact
from prefect.logging import get_run_logger

from flows.events import EventError, load_config
from flows.events.source import read_calendar
from flows.forecasting.candles import read_candles
from flows.forecasting.universe import known_instruments
from flows.runtime.arguments import as_utc
from flows.runtime.commands import flow_arguments, run_once
from flows.runtime.database import database, limited_transaction
from flows.runtime.retries import RETRIED
from flows.runtime.time_limits import DAILY_RUN_S, HOURLY_RUN_S
from flows.scoring.calibration_store import Learned, learn_calibrations
from flows.scoring.matured import Closes, score_forecasts
from flows.scoring.picture import data_url, reliability_picture
from flows.scoring.splits import summary
from flows.scoring.step_events import ReleaseDays
from flows.scoring.store import (
    ForecastKey,
    StoredForecast,
    delete_samples,
    forecasts_to_score,
    read_forecasts,
    read_steps,
    upsert_scores,
)
from flows.scoring.tables import learned_lines, score_table
from market.instruments import Instrument
from market.timeframes import CANDLE_DURATION, Timeframe
from market.warning_codes import WarningCode, warning
from sql.connect import connect

CHUNK: Final = 500
"""Forecasts scored at once, so that a backlog of years needs no more memory than an hour's."""

_MARGIN: Final = timedelta(days=14)  # of calendar on both sides: the releases of the days that candles touch


@dataclass
class Tally:
    """What a run did with the forecasts that were due.

    Attributes
    ----------
    new, changed, unchanged
        Scores by what the table held before.
    left
        Symbols of forecasts that could not be scored, by reason, with how many of them.
    without_events
        Why scores say nothing of events, if so.
    """

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    left: dict[str, Counter[str]] = field(default_factory=dict)
    without_events: str | None = None


@flow(name="score-forecasts", timeout_seconds=DAILY_RUN_S)
def score(
    timeframe: Timeframe = "1d",
    as_of: datetime | None = None,
    recheck_days: int = 7,
    summary_days: int = 30,
    keep_samples_days: int = 30,
) -> Tally:
    """Score the stored forecasts whose horizon has passed, learn calibrations, and publish a summary.

    Running it again changes nothing; a forecast that was made again, or a candle that was corrected within
    `recheck_days`, changes its scores.

    Parameters
    ----------
    as_of
        What had closed by then counts; naive means UTC, None means now.
    recheck_days
        Forecasts whose horizon passed within so many days are scored again. More, for corrections that come
        later.
    summary_days
        The table and the picture show forecasts whose horizon passed within so many days.
    keep_samples_days
        Stored sample paths of scored forecasts are deleted so many days after the horizon.
    """
    instant = as_utc(as_of)
    tally = score_due(timeframe, instant, timedelta(days=recheck_days))
    learned = learn(timeframe, instant)
    forget(timeframe, instant - timedelta(days=keep_samples_days))
    publish(timeframe, instant, timedelta(days=summary_days), tally, learned)
    return tally


score_hourly = score.with_options(timeout_seconds=HOURLY_RUN_S)
"""The same flow for a schedule that runs it every hour."""


@task(name="score what is due", **RETRIED)
def score_due(timeframe: Timeframe, as_of: datetime, recheck: timedelta) -> Tally:
    """Score forecasts chunk by chunk; each chunk is stored as it is done."""
    tally = Tally()
    with connect() as connection:
        with limited_transaction(connection):
            instruments = known_instruments(connection)
            keys = forecasts_to_score(connection, timeframe, as_of, as_of - recheck)
        for chunk in _chunks(keys):
            with limited_transaction(connection):
                forecasts = read_forecasts(connection, timeframe, chunk)
                _score_chunk(connection, forecasts, instruments, timeframe, as_of, tally)
    for reason, symbols in tally.left.items():
        get_run_logger().warning(_not_scored(reason, symbols))
    if tally.without_events is not None:
        get_run_logger().warning(_without_events(tally.without_events))
    return tally


def _not_scored(reason: str, symbols: Mapping[str, int]) -> str:
    return warning(WarningCode.NOT_SCORED, f"{reason}: {_counted(symbols)}")


def _without_events(reason: str) -> str:
    return warning(WarningCode.SCORES_WITHOUT_EVENTS, f"SCORES WITHOUT EVENTS: {reason}")


def _chunks(keys: Sequence[ForecastKey]) -> Iterator[Sequence[ForecastKey]]:
    for start in range(0, len(keys), CHUNK):
        yield keys[start : start + CHUNK]


def _score_chunk(
    connection: psycopg.Connection[Any],
    forecasts: Sequence[StoredForecast],
    instruments: Mapping[str, Instrument],
    timeframe: Timeframe,
    as_of: datetime,
    tally: Tally,
) -> None:
    closes = _read_closes(connection, forecasts, timeframe, as_of)
    releases = _read_releases(connection, forecasts, tally)
    rows, left = score_forecasts(forecasts, instruments, timeframe, as_of, closes, releases)
    new, changed = upsert_scores(connection, rows)
    tally.new += new
    tally.changed += changed
    tally.unchanged += len(rows) - new - changed
    for reason, symbols in left.items():
        tally.left.setdefault(reason, Counter()).update(symbols)


def _read_closes(
    connection: psycopg.Connection[Any],
    forecasts: Sequence[StoredForecast],
    timeframe: Timeframe,
    as_of: datetime,
) -> Closes:
    """Read the candles from the first forecast's last known one to the last that is asked for."""
    first = min(forecast.as_of for forecast in forecasts)
    end = min(
        as_of, max(time for forecast in forecasts for time in forecast.timestamps) + timedelta(seconds=1)
    )
    length = CANDLE_DURATION[timeframe]
    symbols = sorted({forecast.symbol for forecast in forecasts})
    return Closes(read_candles(connection, timeframe, symbols, int((end - first) / length) + 1, end))


def _read_releases(
    connection: psycopg.Connection[Any], forecasts: Sequence[StoredForecast], tally: Tally
) -> ReleaseDays | None:
    """Read the calendar around the forecasts; without one the run says so and scores all the same."""
    times = [time for forecast in forecasts for time in (forecast.timestamps[:1] + forecast.timestamps[-1:])]
    if not times:
        return None
    calendar, rates = read_calendar(connection, min(times) - _MARGIN, max(times) + _MARGIN)
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
def learn(timeframe: Timeframe, as_of: datetime) -> list[Learned]:
    """Learn how far the envelopes must be widened, once a day."""
    with database() as connection:
        return learn_calibrations(connection, timeframe, as_of, known_instruments(connection))


@task(name="forget sample paths", **RETRIED)
def forget(timeframe: Timeframe, matured_before: datetime) -> int:
    """Delete stored sample paths that have done their service."""
    with database() as connection:
        return delete_samples(connection, timeframe, matured_before)


@task(name="publish", **RETRIED)
def publish(
    timeframe: Timeframe, as_of: datetime, span: timedelta, tally: Tally, learned: Sequence[Learned]
) -> None:
    """Publish the table of splits and the reliability picture of the forecasts that matured in a span."""
    with database() as connection:
        steps = read_steps(connection, timeframe, as_of - span, as_of)
    days = f"{as_of - span:%Y-%m-%d} to {as_of:%Y-%m-%d %H:%M} UTC"
    heading = f"{timeframe} forecasts whose horizon passed from {days}"
    said = f"{tally.new} newly scored, {tally.changed} changed, {tally.unchanged} unchanged."
    get_run_logger().info(said)
    remarks = [_not_scored(reason, names) for reason, names in tally.left.items()]
    if tally.without_events is not None:
        remarks.append(_without_events(tally.without_events))
    create_table_artifact(
        key=f"score-{timeframe}",
        table=score_table(summary(steps)),
        description="\n\n".join([heading, said, *remarks, *learned_lines(learned)]),
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


def _counted(symbols: Mapping[str, int]) -> str:
    return ", ".join(f"{symbol} ({count})" for symbol, count in sorted(symbols.items()))


def main(arguments: list[str] | None = None, prog: str = "python -m flows.score") -> int:
    """Run the flow once; the exit status is 1 where it failed."""
    parser = flow_arguments(prog, __doc__)
    parser.add_argument(
        "--recheck-days", type=int, default=7, help="score forecasts of so many days again (default 7)"
    )
    args = parser.parse_args(arguments)
    flow_of_timeframe = score_hourly if args.timeframe == "1h" else score
    return 0 if run_once(flow_of_timeframe, **vars(args)).is_completed() else 1


if __name__ == "__main__":
    raise SystemExit(main())
