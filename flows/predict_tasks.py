"""The steps of predict-batch that read, ask and write: each a task, tried again where that may help."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import polars as pl
from prefect import task
from prefect.logging import get_run_logger

from flows.calibration import Calibration
from flows.calibration_store import read_calibrations
from flows.candles import Window, read_candles
from flows.database import database
from flows.event_plan import EventPlan, plan_events
from flows.forecasts import Order, Timeframe, build_request
from flows.inputs import PredictionInputs, keep_inputs
from flows.retries import RETRIED
from flows.server_calls import ask
from flows.store import PredictionRow, unchanged_predictions, upsert_prediction
from flows.time_limits import MODEL_S
from flows.universe import Universe, read_universe, skip_without_candles
from inference_server.client import Client
from inference_server.schemas import ModelInfo, PredictAnswer
from inference_server.warning_codes import WarningCode, warning


@task(name="read the model", **RETRIED)
def read_model() -> ModelInfo:
    """Ask the server which model it serves and what its limits are."""
    return ask(Client.model, MODEL_S)


@task(name="read instruments and candles", **RETRIED)
def read_history(
    symbols: list[str] | None, timeframe: Timeframe, lookback: int, as_of: datetime
) -> tuple[Universe, pl.DataFrame]:
    """Read the instruments of the run, and the last candles of all of them in one query."""
    with database() as connection:
        universe = read_universe(connection, symbols)
        candles = read_candles(connection, timeframe, list(universe.instruments), lookback, as_of)
    if symbols is None:
        universe = skip_without_candles(universe, candles, timeframe)
    return universe, candles


@task(name="build event arrays", **RETRIED)
def build_events(
    model: ModelInfo, windows: Mapping[str, Window], timeframe: Timeframe, as_of: datetime
) -> EventPlan:
    """Build the event arrays of all symbols, or say why there are none."""
    with database() as connection:
        plan = plan_events(connection, model, windows, timeframe, as_of)
    for text, symbols in plan.warnings.items():
        get_run_logger().warning("%s (%s)", text, ", ".join(symbols))
    return plan


@task(name="read calibrations", **RETRIED)
def read_widenings(model: ModelInfo, timeframe: Timeframe, as_of: datetime) -> dict[str, Calibration]:
    """Read what earlier forecasts of this model taught by `as_of`, by asset class."""
    with database() as connection:
        return read_calibrations(connection, timeframe, model.name, model.version, as_of)


@task(name="forecast", task_run_name="forecast {order.symbol}", **RETRIED)
def forecast(order: Order) -> PredictAnswer:
    """Send one symbol's candles, future timestamps and events to the server."""
    request = build_request(order)
    return ask(lambda client: client.predict(request, order.events))


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
    with database() as connection:
        return unchanged_predictions(connection, orders[0].sampling.timeframe, model.name, wanted)


@task(name="store", task_run_name="store {row.symbol}", **RETRIED)
def store(row: PredictionRow, inputs: PredictionInputs) -> PredictionRow:
    """Write one forecast and what it was made from in one transaction; return the row as it is stored."""
    with database() as connection:
        failure = keep_inputs(connection, inputs)
        if failure is not None:
            text = f"what the forecast was made from is not kept: {failure}"
            row = replace(row, warnings=[*(row.warnings or ()), warning(WarningCode.INPUTS_NOT_KEPT, text)])
        upsert_prediction(connection, row)
    return row
