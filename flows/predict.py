"""The flow predict-batch: forecasts of many symbols from stored candles, with events, stored as envelopes.

``python -m flows.predict --timeframe 1h`` runs it once in this process, with or without a Prefect server.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, get_args

import psycopg
from prefect import State, flow
from prefect.artifacts import create_table_artifact
from prefect.futures import PrefectFuture, as_completed
from prefect.logging import get_run_logger
from prefect.settings import temporary_settings
from prefect.states import Failed
from prefect.task_runners import ThreadPoolTaskRunner

from flows.calibration import Calibration
from flows.candles import Window, as_utc, closed_windows
from flows.event_plan import EventPlan, unreadable
from flows.fingerprint import with_fingerprint
from flows.forecasts import Order, Sampling, Timeframe, build_row, usable_lookback
from flows.inputs import build_inputs
from flows.lookback import shortened
from flows.names import names_in
from flows.path_statistics import WantedStatistics
from flows.predict_tasks import (
    build_events,
    forecast,
    read_history,
    read_model,
    read_unchanged,
    read_widenings,
    store,
)
from flows.report import (
    Outcome,
    failure_message,
    notices,
    other_warnings,
    outcome_line,
    summary_table,
    warning_lines,
)
from flows.settings import WORKERS, FlowSettings, local_prefect_defaults
from flows.store import PredictionRow
from flows.time_limits import DAILY_RUN_S, HOURLY_RUN_S
from inference_server.client import ClientError
from inference_server.schemas import ModelInfo, PredictAnswer
from inference_server.warning_codes import WarningCode, code_of, warning
from sql.errors import DatabaseError, one_line

MODELS_PER_RUN: Final = 3
"""Models that a run follows the server to, before it says that the server does not stay with one."""

_RESTLESS: Final = (
    f"the server changed its model {MODELS_PER_RUN} times during the run, or several servers with different "
    "models answer at one address; run again when it is settled"
)


@flow(
    name="predict-batch",
    timeout_seconds=DAILY_RUN_S,
    task_runner=ThreadPoolTaskRunner(max_workers=WORKERS),  # type: ignore[arg-type]  # Prefect's own does not fit
)
def predict_batch(
    symbols: list[str] | None = None,
    timeframe: Timeframe = "1d",
    pred_len: int = 120,
    sample_count: int = 20,
    top_p: float = 1.0,
    temperature: float = 1.0,
    top_k: int = 0,
    lookback: int | None = None,
    as_of: datetime | None = None,
    with_events: bool = True,
    seed: int | None = None,
    store_samples: bool = False,
    stale_after: int | None = None,
    force: bool = False,
    quantiles: list[float] | None = None,
    moves: list[float] | None = None,
    realised_volatility: bool = False,
) -> list[Outcome] | State[Any]:
    """Forecast each symbol from its last closed candles and store p10, p50 and p90 of close.

    Parameters
    ----------
    symbols
        Names of instruments; None for all that are active and have candles.
    pred_len, sample_count
        Future candles, and sample paths that the envelope is taken over.
    top_p
        1.0, because a cut tail narrows every envelope.
    lookback
        Past candles; None for as many as the model takes without sliding its context, at most 512. Fewer are
        used where the last close would be clipped otherwise; see `FlowSettings.shorter_lookback`.
    as_of
        Only candles closed by then are used; naive means UTC, None means now.
    with_events
        Whether the forecasts see the economic calendar.
    seed
        Of every symbol; None for a hash of symbol, timeframe, last candle and model version each.
    store_samples
        Whether the close of every sample path is stored too, for the CRPS; the flow score-forecasts deletes
        them a while after they were scored. Four bytes × sample_count × pred_len a forecast.
    stale_after
        A symbol is skipped as stale when more candles of its calendar than these have closed since its newest
        one; None for 24 hourly or 5 daily ones, the longest hole that a window may have.
    force
        Make every forecast, also those whose row is there already from the same candles, events, settings and
        model.
    quantiles, moves, realised_volatility
        What the rows hold of the sample paths beside the envelope, in the column `statistics`: quantiles of
        open, high, low and close; P(up) and the probabilities of the prices that are so far from each last
        close (0.02: two per cent up; empty: P(up) alone); quantiles of realised volatility. See
        docs/statistics.md.

    Returns
    -------
    list of Outcome or State
        One per symbol, or a failed state that names the symbols that failed; the others are stored.
    """
    try:
        FlowSettings.from_env()
    except ValueError as error:
        return Failed(message=str(error))
    sampling = Sampling(timeframe, pred_len, sample_count, top_p, temperature, top_k, seed)
    statistics = WantedStatistics(
        tuple(quantiles or ()), None if moves is None else tuple(moves), realised_volatility
    )
    run = Run(sampling, as_utc(as_of), lookback, with_events, store_samples, stale_after, force, statistics)
    outcomes: list[Outcome] = []
    asked = symbols
    for _ in range(MODELS_PER_RUN):
        try:
            model = read_model()
        except ClientError as error:
            hint = "start it with python -m inference_server, or set KRONOS_SERVER to where it is"
            failure = f"the inference server says nothing of its model: {error}; {hint}"
            if asked is symbols:
                return Failed(message=failure)
            outcomes += [Outcome(symbol, error=failure) for symbol in asked or ()]
            break
        made, asked = forecast_all(model, run, asked)
        outcomes += made
        if not asked:
            break
        get_run_logger().warning(
            "the server went on to another model than %s %s during the run: %s are forecast anew, with its "
            "limits, seeds and calibration",
            model.name,
            model.version,
            ", ".join(asked),
        )
    else:
        outcomes += [Outcome(symbol, error=_RESTLESS) for symbol in asked or ()]
    return conclude(sorted(outcomes, key=lambda outcome: outcome.symbol), timeframe, run.as_of)


predict_hourly = predict_batch.with_options(timeout_seconds=HOURLY_RUN_S)
"""The same flow for a schedule that runs it every hour."""


@dataclass(frozen=True)
class Run:
    """What every symbol of a run has in common; see `predict_batch`."""

    sampling: Sampling
    as_of: datetime
    lookback: int | None
    with_events: bool
    store_samples: bool
    stale_after: int | None
    force: bool
    statistics: WantedStatistics


def forecast_all(model: ModelInfo, run: Run, symbols: list[str] | None) -> tuple[list[Outcome], list[str]]:
    """Forecast symbols with the model that the server said it serves.

    Returns
    -------
    outcomes, moved
        What came of the symbols, and those that another model answered for: nothing of them is stored, since
        seed, lookback, events and calibration of their rows would be those of this one.
    """
    timeframe, pred_len = run.sampling.timeframe, run.sampling.pred_len
    lookback = usable_lookback(run.lookback, pred_len, model.max_context, model.limits.min_candles)
    universe, candles = read_history(symbols, timeframe, lookback, run.as_of)
    windows, unusable, stale = closed_windows(
        candles,
        universe.instruments,
        timeframe,
        run.as_of,
        lookback=lookback,
        pred_len=pred_len,
        min_candles=model.limits.min_candles,
        stale_after=run.stale_after,
    )
    if timeframe in FlowSettings.from_env().shorter_lookback:
        windows = shortened(windows, model.limits.min_candles)
    events = (
        events_or_reason(model, windows, timeframe, run.as_of)
        if run.with_events
        else EventPlan.without(windows, "turned off for this run", settled=True)
    )
    remarks = events.warnings_by_symbol()
    calibrations, lack = calibrations_or_reason(model, timeframe, run.as_of)
    orders = [
        with_fingerprint(
            Order(
                symbol,
                window,
                run.sampling,
                model.version,
                events.arrays.get(symbol),
                events.contexts.get(symbol),
                calibrations.get(window.instrument.asset_class),
                run.store_samples,
                (*window.warnings, *remarks.get(symbol, ()), *lack),
                statistics=run.statistics,
            ),
            settled=events.settled or symbol in events.arrays,
        )
        for symbol, window in windows.items()
    ]
    unchanged = {} if run.force else read_unchanged(model, orders)
    outcomes = [
        outcome_of(order, unchanged[order.symbol], events.reasons.get(order.symbol), unchanged=True)
        for order in orders
        if order.symbol in unchanged
    ]
    sent = {forecast.submit(order): order for order in orders if order.symbol not in unchanged}
    moved = []
    for answer in as_completed(list(sent)):
        outcome = settle(sent[answer], answer, events.reasons)
        if outcome is None:
            moved.append(sent[answer].symbol)
        else:
            outcomes.append(outcome)
    outcomes += [Outcome(symbol, error=reason) for symbol, reason in (universe.unknown | unusable).items()]
    outcomes += [Outcome(symbol, skipped=reason) for symbol, reason in universe.skipped.items()]
    outcomes += [Outcome(symbol, stale=reason) for symbol, reason in stale.items()]
    return outcomes, sorted(moved)


def events_or_reason(
    model: ModelInfo, windows: Mapping[str, Window], timeframe: Timeframe, as_of: datetime
) -> EventPlan:
    """Build the event arrays; where the database is away for good, forecasts are made without them."""
    try:
        return build_events(model, windows, timeframe, as_of)
    except (DatabaseError, psycopg.Error) as error:
        return EventPlan.without(windows, unreadable(error))


def calibrations_or_reason(
    model: ModelInfo, timeframe: Timeframe, as_of: datetime
) -> tuple[dict[str, Calibration], tuple[str, ...]]:
    """Read the calibrations; where they can't be had, rows go without and carry a warning."""
    try:
        return read_widenings(model, timeframe, as_of), ()
    except (DatabaseError, psycopg.Error) as error:
        reason = one_line(error) if isinstance(error, psycopg.Error) else error
        text = warning(
            WarningCode.CALIBRATION_NOT_READ,
            f"there is no calibrated envelope, as none can be read: {reason}",
        )
        get_run_logger().warning(text)
        return {}, (text,)


def settle(
    order: Order, answer: PrefectFuture[PredictAnswer], without_events: Mapping[str, str]
) -> Outcome | None:
    """Store what the server answered for one symbol; whatever goes wrong is that symbol's outcome.

    None where another model answered than the order was made for.
    """
    try:
        answered = answer.result()
        if answered.model.version != order.model_version:
            return None
        reason = without_events.get(order.symbol)
        if reason is None and not answered.events_used:
            reason = "the server left them out"
        row = build_row(order, answered, late=order.window.late, without_events=reason)
        row = store(row, build_inputs(order, answered))
    except Exception as error:  # a symbol's failure of any kind must not stop the others
        return Outcome(order.symbol, error=f"{type(error).__name__}: {error}")
    outcome = outcome_of(order, row, reason)
    told = set(order.warnings) - set(order.window.warnings)  # once for all symbols, when events were built
    for text in other_warnings(row):
        if text not in told:
            get_run_logger().warning("%s: %s", order.symbol, text)
    get_run_logger().info(outcome_line(outcome))
    return outcome


def outcome_of(
    order: Order, row: PredictionRow, without_events: str | None, *, unchanged: bool = False
) -> Outcome:
    """Return the outcome of a symbol that has a row."""
    window = order.window
    codes = {code_of(text) for text in row.warnings or ()}
    return Outcome(
        order.symbol,
        row,
        last_close=window.last_close,
        late=window.late,
        without_events=without_events,
        unchanged=unchanged,
        clipped=WarningCode.CLIPPED_CANDLES in codes,
        shorter_lookback=len(window.timestamps) if WarningCode.SHORTER_LOOKBACK in codes else None,
    )


def conclude(
    outcomes: Sequence[Outcome], timeframe: Timeframe, as_of: datetime
) -> list[Outcome] | State[Any]:
    """Publish the summary of a run; the run fails where a symbol did, and names it."""
    logger = get_run_logger()
    failure = failure_message(outcomes)
    for outcome in outcomes:
        if outcome.skipped is not None or outcome.stale is not None:
            logger.info(outcome_line(outcome))
    remarks = notices(outcomes)
    for remark in remarks:
        logger.warning(remark)
    heading = f"{timeframe} forecasts as of {as_of:%Y-%m-%d %H:%M} UTC"
    create_table_artifact(
        key=f"predict-batch-{timeframe}",
        table=summary_table(outcomes),
        description="\n\n".join(
            [heading, *([] if failure is None else [failure]), *remarks, *warning_lines(outcomes)]
        ),
    )
    return list(outcomes) if failure is None else Failed(message=failure)


def run_once(**parameters: Any) -> State[Any]:
    """Run the flow in this process, with a temporary Prefect server where the user has none."""
    with temporary_settings(set_defaults=local_prefect_defaults()):
        flow_of_timeframe = predict_hourly if parameters.get("timeframe") == "1h" else predict_batch
        return flow_of_timeframe(**parameters, return_state=True)


def main() -> int:
    """Run the flow once; the exit status is 1 where it failed."""
    parser = argparse.ArgumentParser(prog="python -m flows.predict", description=__doc__)
    parser.add_argument("--timeframe", choices=get_args(Timeframe), default="1d")
    parser.add_argument("--symbols", help="A,B; the active instruments unless given")
    parser.add_argument(
        "--as-of", type=datetime.fromisoformat, help="ISO 8601, UTC unless it has a zone; now unless given"
    )
    parser.add_argument(
        "--stale-after",
        type=int,
        help="closed candles that may be missing at the end before a symbol is skipped (24 hourly, 5 daily)",
    )
    parser.add_argument(
        "--force", action="store_true", help="make forecasts again that are stored already from the same data"
    )
    given = parser.parse_args()
    symbols = names_in(given.symbols) if given.symbols else None
    state = run_once(
        timeframe=given.timeframe,
        symbols=symbols,
        as_of=given.as_of,
        stale_after=given.stale_after,
        force=given.force,
    )
    return 0 if state.is_completed() else 1


if __name__ == "__main__":
    raise SystemExit(main())
