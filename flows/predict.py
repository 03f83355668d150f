"""The flow predict-batch: forecasts of many symbols from stored candles, with events, stored as envelopes.

``python -m flows.predict --timeframe 1h`` runs it once in this process, with or without a Prefect server.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, get_args

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
from flows.fingerprint import with_fingerprint
from flows.forecasts import Order, Sampling, Timeframe, build_request, build_row, usable_lookback
from flows.inputs import PredictionInputs, build_inputs, keep_inputs
from flows.report import (
    Outcome,
    failure_message,
    notices,
    other_warnings,
    outcome_line,
    summary_table,
    warning_lines,
)
from flows.retries import RETRIED
from flows.settings import WORKERS, FlowSettings, local_prefect_defaults
from flows.store import PredictionRow, unchanged_predictions, upsert_prediction
from flows.universe import Universe, read_universe, skip_without_candles
from inference_server.client import Client, ClientError
from inference_server.schemas import ModelInfo, PredictAnswer
from inference_server.warning_codes import WarningCode, warning
from sql.connect import connect

MODELS_PER_RUN: Final = 3
"""Models that a run follows the server to, before it says that the server does not stay with one."""

_RESTLESS: Final = (
    f"the server changed its model {MODELS_PER_RUN} times during the run, or several servers with different "
    "models answer at one address; run again when it is settled"
)


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
    force: bool = False,
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
        Past candles; None for as many as the model takes without sliding its context, at most 512.
    as_of
        Only candles closed by then are used; naive means UTC, None means now.
    with_events
        Whether the forecasts see the economic calendar.
    seed
        Of every symbol; None for a hash of symbol, timeframe, last candle and model version each.
    store_samples
        Whether the close of every sample path is stored too, for the CRPS; the flow score-forecasts deletes
        them a while after they were scored. Four bytes × sample_count × pred_len a forecast.
    force
        Make every forecast, also those whose row is there already from the same candles, events, settings and
        model.

    Returns
    -------
    list of Outcome or State
        One per symbol, or a failed state that names the symbols that failed; the others are stored.
    """
    sampling = Sampling(timeframe, pred_len, sample_count, top_p, temperature, top_k, seed)
    run = Run(sampling, as_utc(as_of), lookback, with_events, store_samples, force)
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


@dataclass(frozen=True)
class Run:
    """What every symbol of a run has in common; see `predict_batch`."""

    sampling: Sampling
    as_of: datetime
    lookback: int | None
    with_events: bool
    store_samples: bool
    force: bool


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
    windows, unusable = closed_windows(
        candles,
        universe.instruments,
        timeframe,
        run.as_of,
        lookback=lookback,
        pred_len=pred_len,
        min_candles=model.limits.min_candles,
    )
    events = (
        build_events(model, windows, timeframe, run.as_of)
        if run.with_events
        else EventPlan.without(windows, "turned off for this run", settled=True)
    )
    remarks = events.warnings_by_symbol()
    calibrations = read_widenings(model, timeframe, run.as_of)
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
                (*window.warnings, *remarks.get(symbol, ())),
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
    return outcomes, sorted(moved)


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
    for text, symbols in plan.warnings.items():
        get_run_logger().warning("%s (%s)", text, ", ".join(symbols))
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


@task(name="look for what is stored already", **RETRIED)
def read_unchanged(model: ModelInfo, orders: Sequence[Order]) -> dict[str, PredictionRow]:
    """Read the rows that the answers to some orders would only write again, by symbol."""
    wanted = {
        (order.symbol, order.window.as_of): order.fingerprint
        for order in orders
        if order.fingerprint is not None
    }
    if not wanted:
        return {}
    with connect() as connection:
        return unchanged_predictions(connection, orders[0].sampling.timeframe, model.name, wanted)


@task(name="store", task_run_name="store {row.symbol}", **RETRIED)
def store(row: PredictionRow, inputs: PredictionInputs) -> PredictionRow:
    """Write one forecast and what it was made from in one transaction; return the row as it is stored."""
    with connect() as connection, connection.transaction():
        failure = keep_inputs(connection, inputs)
        if failure is not None:
            text = f"what the forecast was made from is not kept: {failure}"
            row = replace(row, warnings=[*(row.warnings or ()), warning(WarningCode.INPUTS_NOT_KEPT, text)])
        upsert_prediction(connection, row)
    return row


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
    return Outcome(
        order.symbol,
        row,
        last_close=window.last_close,
        late=window.late,
        without_events=without_events,
        unchanged=unchanged,
    )


def conclude(
    outcomes: Sequence[Outcome], timeframe: Timeframe, as_of: datetime
) -> list[Outcome] | State[Any]:
    """Publish the summary of a run; the run fails where a symbol did, and names it."""
    logger = get_run_logger()
    failure = failure_message(outcomes)
    for outcome in outcomes:
        if outcome.skipped is not None:
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
        "--force", action="store_true", help="make forecasts again that are stored already from the same data"
    )
    given = parser.parse_args()
    symbols = given.symbols.split(",") if given.symbols else None
    state = run_once(timeframe=given.timeframe, symbols=symbols, as_of=given.as_of, force=given.force)
    return 0 if state.is_completed() else 1


if __name__ == "__main__":
    raise SystemExit(main())
