"""Forecasts the symbols of a run in blocks, so that memory does not grow with their number."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final, TypeVar, cast

import msgspec
import psycopg
from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger
from prefect.utilities.annotations import quote

from flows.forecasting.answers import in_batches
from flows.forecasting.block import failed, forecast_block
from flows.forecasting.event_sources import SourcesOfRun
from flows.forecasting.forecasts import usable_lookback
from flows.forecasting.run_plan import Block, BlockOutcome, RunPlan, RunSettings, blocks_of, window_cut
from flows.forecasting.run_summary import SymbolOutcome
from flows.forecasting.tasks import read_instruments, read_reach, read_widenings
from flows.forecasting.universe import Universe, skip_without_candles
from flows.runtime.dask_cluster import dask_runner, part_size
from flows.runtime.run_database import RunDatabase
from flows.runtime.settings import FlowSettings
from flows.runtime.time_limits import SUMMARY_S, OutOfTime, time_of_run
from flows.scoring.calibration import Calibration
from inference_server.schemas import ModelInfo
from market.instruments import Instrument
from market.timeframes import Timeframe
from market.warning_codes import WarningCode, warning
from sql.errors import DatabaseError, one_line

T = TypeVar("T")

BLOCK: Final = 250
"""Symbols whose candles, event arrays and answers are in memory at once.

A symbol takes at most 0.12 MB with 392 + 120 candles and 20 sample paths. Blocks of 1,000 symbols took 92 MB
more than blocks of 250 and hardly less time (10.1 and 10.8 ms of this process for a symbol).
"""


def forecast_all(
    model: ModelInfo, settings: RunSettings, symbols: list[str] | None
) -> tuple[list[SymbolOutcome], list[str]]:
    """Forecast symbols with the model that the server serves.

    Returns
    -------
    outcomes, superseded
        See `BlockOutcome`.
    """
    lookback = usable_lookback(
        settings.lookback, settings.sampling.pred_len, model.max_context, model.limits.min_candles
    )
    with RunDatabase() as database:
        universe = read_instruments(database, symbols)
        calibrations, warnings = calibrations_or_warning(
            database, model, settings.sampling.timeframe, settings.as_of
        )
        universe, sources = with_candles(database, universe, model, settings, lookback, symbols is not None)
    plan = RunPlan(
        msgspec.structs.replace(model, manifest={}), settings, lookback, calibrations, warnings, sources
    )
    outcomes = [SymbolOutcome(symbol, error=reason) for symbol, reason in universe.unknown.items()]
    outcomes += [SymbolOutcome(symbol, skipped=reason) for symbol, reason in universe.skipped.items()]
    superseded: list[str] = []
    for block in forecast_blocks(plan, universe.instruments):
        outcomes += block.outcomes
        superseded += block.superseded
    return outcomes, sorted(superseded)


def forecast_blocks(plan: RunPlan, instruments: Mapping[str, Instrument]) -> Iterator[BlockOutcome]:
    """Forecast symbols block by block, in this process or on the Dask cluster of ``KRONOS_DASK_ADDRESS``.

    Raises
    ------
    DaskError
        There is no such cluster.
    """
    address = FlowSettings.from_env().dask_address
    if address is not None:
        yield from _on_dask(replace(plan, time=time_of_run()), instruments, address)
        return
    for block in blocks_of(instruments, BLOCK):
        yield forecast_block(quoted(plan), quoted(block))


def _on_dask(plan: RunPlan, instruments: Mapping[str, Instrument], address: str) -> Iterator[BlockOutcome]:
    """Forecast symbols on a Dask cluster; a block that is not done before the end of the run has failed."""
    with dask_runner(address) as runner:
        blocks = blocks_of(instruments, part_size(runner, len(instruments), BLOCK))
        futures = {runner.submit(forecast_block, {"plan": plan, "block": block}): block for block in blocks}
        left_s = None if plan.time is None else partial(plan.time.left_s, SUMMARY_S)
        try:
            for done in in_batches(futures, left_s):
                for future in done:
                    yield _outcome(futures.pop(future), future)
        except OutOfTime as error:
            for block in futures.values():
                yield failed(block, error)


def _outcome(block: Block, future: PrefectFuture[BlockOutcome]) -> BlockOutcome:
    try:
        return future.result()
    except Exception as error:  # a block that was lost must not stop the others
        get_run_logger().error("the block of %s is lost: %s", block, error)
        return failed(block, error)


def quoted(argument: T) -> T:
    """Mark an argument of a task so that Prefect does not search it for results of other tasks."""
    return cast("T", quote(argument))


def with_candles(
    database: RunDatabase,
    universe: Universe,
    model: ModelInfo,
    settings: RunSettings,
    lookback: int,
    requested_by_name: bool,
) -> tuple[Universe, SourcesOfRun]:
    """Skip the instruments without candles, and find the time for which the calendar is to be read.

    The calendar is read for the windows of all blocks, so that a symbol's row is the same in whatever block
    it is. Symbols that were requested by name are not skipped: without candles they fail. Where the times
    can't be read, each block finds out by itself.
    """
    try:
        present, sources = read_reach(
            database, quoted(universe.instruments), window_cut(model, settings, lookback)
        )
    except (DatabaseError, psycopg.Error):
        return universe, SourcesOfRun()
    if not requested_by_name:
        universe = skip_without_candles(universe, present, settings.sampling.timeframe)
    return universe, sources


def calibrations_or_warning(
    database: RunDatabase, model: ModelInfo, timeframe: Timeframe, as_of: datetime
) -> tuple[dict[str, Calibration], tuple[str, ...]]:
    """Read the calibrations; where they can't be read, return none and a warning for every row."""
    try:
        return read_widenings(database, model, timeframe, as_of), ()
    except (DatabaseError, psycopg.Error) as error:
        reason = one_line(error) if isinstance(error, psycopg.Error) else error
        text = warning(
            WarningCode.CALIBRATION_NOT_READ,
            f"there is no calibrated envelope, as none can be read: {reason}",
        )
        get_run_logger().warning(text)
        return {}, (text,)
