"""Defines what predict-batch reads, requests and writes; each is tried again where that may help.

What is done once in a run is a task of Prefect's; what is done for each block or symbol is a step of the task
of its block.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import polars as pl
import psycopg
from prefect import task
from prefect.logging import get_run_logger

from flows.forecasting.candles import CandleWindow, read_candles
from flows.forecasting.event_plan import EventPlan, plan_events, requests_of_times
from flows.forecasting.event_sources import SourcesOfRun
from flows.forecasting.forecasts import Order, build_request
from flows.forecasting.late_candles import newest_candles
from flows.forecasting.run_plan import parts_of
from flows.forecasting.store import (
    PredictionRow,
    unchanged_predictions,
    upsert_predictions,
)
from flows.forecasting.stored_inputs import StoredInputs, keep_all_inputs, keep_inputs
from flows.forecasting.universe import Universe, read_universe
from flows.forecasting.window_times import WindowCut
from flows.runtime.candle_columns import last_times
from flows.runtime.retries import RETRIED, with_retries
from flows.runtime.run_database import RunDatabase
from flows.runtime.server_calls import ask, model_for_run
from flows.runtime.server_pool import ServerPool
from flows.runtime.time_limits import MODEL_S
from flows.scoring.calibration import Calibration
from flows.scoring.calibration_store import read_calibrations
from inference_server.client import Client, TimedAnswer
from inference_server.schemas import ModelInfo
from market.closed_candles import STILL_OPEN
from market.instruments import Instrument
from market.timeframes import Timeframe
from market.warning_codes import WarningCode, warning

TIMES_AT_ONCE: Final = 1000
"""Symbols whose times are read with one query, 3 kB each with 392 candles."""


@task(name="read the model", **RETRIED)
def read_model() -> ModelInfo:
    """Ask the servers which model they serve and what its limits are."""
    return model_for_run(MODEL_S)


def model_of(servers: ServerPool) -> ModelInfo:
    """Ask a server of the run for its model: that of the run, if any server still holds it."""
    return with_retries("asking for the model", lambda: ask(Client.model, servers))


@task(name="read instruments", **RETRIED)
def read_instruments(database: RunDatabase, symbols: list[str] | None) -> Universe:
    """Read the instruments of the run."""
    with database.connection() as connection:
        return read_universe(connection, symbols)


@task(name="read the newest candles", **RETRIED)
def read_newest(
    database: RunDatabase, symbols: Sequence[str], timeframe: Timeframe, as_of: datetime
) -> dict[str, datetime]:
    """Read the open of each symbol's newest candle, in one query."""
    with database.connection() as connection:
        return newest_candles(connection, timeframe, symbols, as_of)


@task(name="read the times of the candles", **RETRIED)
def read_reach(
    database: RunDatabase, instruments: Mapping[str, Instrument], cut: WindowCut
) -> tuple[frozenset[str], SourcesOfRun]:
    """Read which symbols have candles, and what calendar the windows of all of them need."""
    sources, present = SourcesOfRun(), set[str]()
    for part in parts_of(list(instruments), TIMES_AT_ONCE):
        with database.connection() as connection:
            times = last_times(connection, cut.timeframe, part, cut.lookback + STILL_OPEN, cut.as_of)
        present.update(times)
        sources.include(requests_of_times(times, instruments, cut))
    return frozenset(present), sources


def read_block(
    database: RunDatabase, symbols: Sequence[str], timeframe: Timeframe, lookback: int, as_of: datetime
) -> pl.DataFrame:
    """Read the last candles of a block of symbols, in one query."""

    def read() -> pl.DataFrame:
        with database.connection() as connection:
            return read_candles(connection, timeframe, symbols, lookback, as_of)

    return with_retries("reading candles", read)


def build_events(
    database: RunDatabase,
    model: ModelInfo,
    windows: Mapping[str, CandleWindow],
    timeframe: Timeframe,
    as_of: datetime,
    sources: SourcesOfRun,
) -> EventPlan:
    """Build the event arrays of a block of symbols, or say why there are none."""

    def build() -> EventPlan:
        with database.connection() as connection:
            return plan_events(connection, model, windows, timeframe, as_of, sources)

    plan = with_retries("building event arrays", build)
    for text, symbols in plan.warnings.items():
        get_run_logger().warning("%s (%s)", text, ", ".join(symbols))
    return plan


@task(name="read calibrations", **RETRIED)
def read_widenings(
    database: RunDatabase, model: ModelInfo, timeframe: Timeframe, as_of: datetime
) -> dict[str, Calibration]:
    """Read the calibrations of this model that were learned by `as_of`, by asset class."""
    with database.connection() as connection:
        return read_calibrations(connection, timeframe, model.name, model.version, as_of)


def forecast(servers: ServerPool, order: Order) -> TimedAnswer:
    """Send one symbol's candles, future timestamps and events to a server."""
    request = build_request(order)
    return with_retries(
        f"the forecast of {order.symbol}",
        lambda: ask(lambda client: client.predict_timed(request, order.events), servers),
    )


def read_unchanged(
    database: RunDatabase, model: ModelInfo, orders: Sequence[Order]
) -> dict[str, PredictionRow]:
    """Read the rows that are stored already from the same inputs as some orders, by symbol."""
    wanted = {
        (order.symbol, order.window.as_of): order.fingerprint
        for order in orders
        if order.fingerprint is not None
    }
    if not wanted:
        return {}

    def read() -> dict[str, PredictionRow]:
        with database.connection() as connection:
            return unchanged_predictions(connection, orders[0].sampling.timeframe, model.name, wanted)

    return with_retries("looking for what is stored already", read)


def store(
    database: RunDatabase, forecasts: Sequence[tuple[PredictionRow, StoredInputs]]
) -> list[PredictionRow | psycopg.Error]:
    """Write some forecasts with their inputs, and commit them together.

    Returns
    -------
    list of PredictionRow or psycopg.Error
        In the order given, the row as it is stored, or why the database refuses it.

    Raises
    ------
    psycopg.OperationalError
        The connection was lost in every try, and nothing is written.
    """
    return with_retries("storing forecasts", lambda: _store(database, forecasts))


def _store(
    database: RunDatabase, forecasts: Sequence[tuple[PredictionRow, StoredInputs]]
) -> list[PredictionRow | psycopg.Error]:
    with database.connection() as connection:
        try:
            with connection.transaction():
                keep_all_inputs(connection, [inputs for _, inputs in forecasts])
                upsert_predictions(connection, [row for row, _ in forecasts])
            return [row for row, _ in forecasts]
        except psycopg.OperationalError:
            raise
        except psycopg.Error:  # one row was refused, or the table of inputs is missing: write row by row
            with connection.transaction():
                return [_stored(connection, row, inputs) for row, inputs in forecasts]


def _stored(
    connection: psycopg.Connection[Any], row: PredictionRow, inputs: StoredInputs
) -> PredictionRow | psycopg.Error:
    try:
        with connection.transaction():
            failure = keep_inputs(connection, inputs)
            if failure is not None:
                text = warning(
                    WarningCode.INPUTS_NOT_KEPT, f"what the forecast was made from is not kept: {failure}"
                )
                row = replace(row, warnings=[*(row.warnings or ()), text])
            upsert_predictions(connection, [row])
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        return error
    return row
