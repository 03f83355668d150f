"""The flow predict-batch: forecasts of many symbols from stored candles, with events, stored as envelopes.

``python -m flows.predict --timeframe 1h`` runs it once in this process, with or without a Prefect server.
"""

import argparse
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, get_args

import polars as pl
from prefect import State, flow, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture, as_completed
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.settings import temporary_settings
from prefect.states import Failed
from prefect.task_runners import ThreadPoolTaskRunner

from flows.calibration import Calibration
from flows.calibration_store import read_calibrations
from flows.candles import Window, as_utc, closed_windows, read_candles
from flows.event_plan import EventPlan, plan_events
from flows.forecasts import Order, Sampling, Timeframe, build_request, build_row, usable_lookback
from flows.inputs import PredictionInputs, build_inputs, keep_inputs
from flows.lookback import shortened
from flows.report import Outcome, failure_message, notices, outcome_line, summary_table
from flows.retries import RETRIED
from flows.settings import WORKERS, FlowSettings, local_prefect_defaults
from flows.store import PredictionRow, upsert_prediction
from flows.universe import Universe, read_universe, skip_without_candles
from inference_server.client import Client, ClientError
from inference_server.schemas import ModelInfo, PredictAnswer
from inference_server.warning_codes import WarningCode, code_of
from sql.connect import connect


@flow(
    name="predict-batch",
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

    Returns
    -------
    list of Outcome or State
        One per symbol, or a failed state that names the symbols that failed; the others are stored.
    """
    sampling = Sampling(timeframe, pred_len, sample_count, top_p, temperature, top_k, seed)
    instant = as_utc(as_of)
    try:
        model = read_model()
    except ClientError as error:
        hint = "start it with python -m inference_server, or set KRONOS_SERVER to where it is"
        return Failed(message=f"the inference server says nothing of its model: {error}; {hint}")
    lookback = usable_lookback(lookback, pred_len, model.max_context, model.limits.min_candles)
    universe, candles = read_history(symbols, timeframe, lookback, instant)
    windows, unusable, stale = closed_windows(
        candles,
        universe.instruments,
        timeframe,
        instant,
        lookback=lookback,
        pred_len=pred_len,
        min_candles=model.limits.min_candles,
        stale_after=stale_after,
    )
    if timeframe in FlowSettings.from_env().shorter_lookback:
        windows = shortened(windows, model.limits.min_candles)
    events = (
        build_events(model, windows, timeframe, instant)
        if with_events
        else EventPlan.without(windows, "turned off for this run")
    )
    calibrations = read_widenings(model, timeframe, instant)
    orders = [
        Order(
            symbol,
            window,
            sampling,
            model.version,
            events.arrays.get(symbol),
            events.contexts.get(symbol),
            calibrations.get(window.instrument.asset_class),
            store_samples,
        )
        for symbol, window in windows.items()
    ]
    sent = {forecast.submit(order): order for order in orders}
    outcomes = [settle(sent[answer], answer, events.reasons) for answer in as_completed(list(sent))]
    outcomes += [Outcome(symbol, error=reason) for symbol, reason in (universe.unknown | unusable).items()]
    outcomes += [Outcome(symbol, skipped=reason) for symbol, reason in universe.skipped.items()]
    outcomes += [Outcome(symbol, stale=reason) for symbol, reason in stale.items()]
    return conclude(sorted(outcomes, key=lambda outcome: outcome.symbol), timeframe, instant)


def open_client() -> Client:
    """Return a client of the inference server whose calls carry the id of this flow run."""
    settings = FlowSettings.from_env()
    return Client(settings.server_url, settings.timeout_s, flow_run.id, settings.api_key)


@task(name="read the model", **RETRIED)
def read_model() -> ModelInfo:
    """Ask the server which model it serves and what its limits are."""
    with open_client() as client:
        return client.model()


@task(name="read instruments and candles", **RETRIED)
def read_history(
    symbols: list[str] | None, timeframe: Timeframe, lookback: int, as_of: datetime
) -> tuple[Universe, pl.DataFrame]:
    """Read the instruments of the run, and the last candles of all of them in one query."""
    with connect() as connection:
        universe = read_universe(connection, symbols)
        candles = read_candles(connection, timeframe, list(universe.instruments), lookback, as_of)
    if symbols is None:
        universe = skip_without_candles(universe, candles, timeframe)
    return universe, candles


@task(name="build event arrays", cache_policy=NO_CACHE)
def build_events(
    model: ModelInfo, windows: Mapping[str, Window], timeframe: Timeframe, as_of: datetime
) -> EventPlan:
    """Build the event arrays of all symbols, or say why there are none."""
    with connect() as connection:
        plan = plan_events(connection, model, windows, timeframe, as_of)
    for warning, symbols in plan.warnings.items():
        get_run_logger().warning("%s (%s)", warning, ", ".join(symbols))
    return plan


@task(name="read calibrations", **RETRIED)
def read_widenings(model: ModelInfo, timeframe: Timeframe, as_of: datetime) -> dict[str, Calibration]:
    """Read what earlier forecasts of this model taught by `as_of`, by asset class."""
    with connect() as connection:
        return read_calibrations(connection, timeframe, model.name, model.version, as_of)


@task(name="forecast", task_run_name="forecast {order.symbol}", **RETRIED)
def forecast(order: Order) -> PredictAnswer:
    """Send one symbol's candles, future timestamps and events to the server."""
    with open_client() as client:
        return client.predict(build_request(order), order.events)


@task(name="store", task_run_name="store {row.symbol}", **RETRIED)
def store(row: PredictionRow, inputs: PredictionInputs) -> None:
    """Write one forecast, and beside it what it was made from."""
    with connect() as connection:
        upsert_prediction(connection, row)
        failure = keep_inputs(connection, inputs)
    if failure is not None:
        get_run_logger().warning("%s: what it was made from is not kept: %s", row.symbol, failure)


def settle(order: Order, answer: PrefectFuture[PredictAnswer], without_events: Mapping[str, str]) -> Outcome:
    """Store what the server answered for one symbol; whatever goes wrong is that symbol's outcome."""
    logger = get_run_logger()
    try:
        answered = answer.result()
        row = build_row(order, answered)
        store(row, build_inputs(order, answered))
    except Exception as error:  # a symbol's failure of any kind must not stop the others
        return Outcome(order.symbol, error=f"{type(error).__name__}: {error}")
    warnings = (*order.window.warnings, *answered.warnings)
    for warning in warnings:
        logger.warning("%s: %s", order.symbol, warning)
    codes = {code_of(warning) for warning in warnings}
    reason = without_events.get(order.symbol)
    if reason is None and not answered.events_used:
        reason = "the server left them out"
    window = order.window
    outcome = Outcome(
        order.symbol,
        row,
        last_close=window.last_close,
        late=window.late,
        without_events=reason,
        clipped=WarningCode.CLIPPED_CANDLES in codes,
        shorter_lookback=len(window.timestamps) if WarningCode.SHORTER_LOOKBACK in codes else None,
    )
    logger.info(outcome_line(outcome))
    return outcome


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
        description="\n\n".join([heading, *([] if failure is None else [failure]), *remarks]),
    )
    return list(outcomes) if failure is None else Failed(message=failure)


def run_once(**parameters: Any) -> State[Any]:
    """Run the flow in this process, with a temporary Prefect server where the user has none."""
    with temporary_settings(set_defaults=local_prefect_defaults()):
        return predict_batch(**parameters, return_state=True)


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
    given = parser.parse_args()
    symbols = given.symbols.split(",") if given.symbols else None
    state = run_once(
        timeframe=given.timeframe, symbols=symbols, as_of=given.as_of, stale_after=given.stale_after
    )
    return 0 if state.is_completed() else 1


if __name__ == "__main__":
    raise SystemExit(main())
