"""Forecasts the symbols of a run in blocks, so that memory does not grow with their number."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final

from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger

from flows.forecasting.answers import in_batches, quoted
from flows.forecasting.block import failed, forecast_block
from flows.forecasting.late_candles import arrivals
from flows.forecasting.planning import late_symbols, plan_run, with_reach
from flows.forecasting.progress import RunProgress
from flows.forecasting.run_plan import Block, BlockOutcome, RunPlan, RunSettings, blocks_of
from flows.forecasting.run_summary import SymbolOutcome
from flows.runtime.dask_cluster import dask_runner, loadable_flow, part_size
from flows.runtime.run_database import RunDatabase
from flows.runtime.run_notices import add_notice
from flows.runtime.settings import FlowSettings
from flows.runtime.time_limits import SUMMARY_S, OutOfTime, time_of_run
from inference_server.schemas import ModelInfo
from market.instruments import Instrument

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
    with RunDatabase() as database:
        plan, universe = plan_run(database, model, settings, symbols)
        progress = RunProgress(
            f"predict-batch-{settings.sampling.timeframe}-progress", len(universe.instruments)
        )
        late = late_symbols(database, plan, universe.instruments, BLOCK)
        in_time = {name: known for name, known in universe.instruments.items() if name not in late}
        outcomes, superseded = forecast_blocks(plan, in_time, progress)
        if superseded:
            superseded += late
        else:
            late_outcomes, superseded = forecast_late(database, plan, universe.instruments, late, progress)
            outcomes += late_outcomes
    outcomes += [SymbolOutcome(symbol, error=reason) for symbol, reason in universe.unknown.items()]
    outcomes += [SymbolOutcome(symbol, skipped=reason) for symbol, reason in universe.skipped.items()]
    return outcomes, sorted(superseded)


def forecast_late(
    database: RunDatabase,
    plan: RunPlan,
    instruments: Mapping[str, Instrument],
    late: Mapping[str, datetime],
    progress: RunProgress,
) -> tuple[list[SymbolOutcome], list[str]]:
    """Forecast symbols as their newest candles arrive, and at last those whose candles have not.

    Returns what `forecast_all` returns. Each time calendar and leaders are read again: those may be newer,
    too.
    """
    settings = plan.settings
    if late:
        get_run_logger().info(
            "waiting up to %g s from the beginning of the run for the newest candles of %s",
            settings.wait_for_candles_s,
            ", ".join(late),
        )
    outcomes: list[SymbolOutcome] = []
    remaining = set(late)
    for symbols in arrivals(
        database, settings.sampling.timeframe, late, settings.as_of, settings.wait_for_candles_s
    ):
        arrived = {symbol: instruments[symbol] for symbol in symbols}
        _, newer = with_reach(database, plan, arrived)
        more, superseded = forecast_blocks(newer, arrived, progress)
        outcomes += more
        remaining -= set(symbols)
        if superseded:
            return outcomes, [*superseded, *remaining]
    return outcomes, []


def forecast_blocks(
    plan: RunPlan, instruments: Mapping[str, Instrument], progress: RunProgress
) -> tuple[list[SymbolOutcome], list[str]]:
    """Forecast symbols block by block, in this process or on the Dask cluster of ``KRONOS_DASK_ADDRESS``.

    Returns what `forecast_all` returns.

    Raises
    ------
    DaskError
        There is no such cluster.
    """
    address = FlowSettings.from_env().dask_address
    if not instruments:
        return [], []
    outcomes: list[SymbolOutcome] = []
    superseded: list[str] = []
    blocks = (
        _here(plan, instruments, progress)
        if address is None
        else _on_dask(plan, instruments, address, progress)
    )
    for block in blocks:
        outcomes += block.outcomes
        superseded += block.superseded
    return outcomes, superseded


def _here(
    plan: RunPlan, instruments: Mapping[str, Instrument], progress: RunProgress
) -> Iterator[BlockOutcome]:
    for block in blocks_of(instruments, BLOCK):
        yield forecast_block(quoted(plan), quoted(block), quoted(progress.advance))


def _on_dask(
    plan: RunPlan, instruments: Mapping[str, Instrument], address: str, progress: RunProgress
) -> Iterator[BlockOutcome]:
    """Forecast symbols on a Dask cluster; a block that is not done before the end of the run has failed."""
    plan = replace(plan, time=time_of_run())
    with dask_runner(address) as runner:
        blocks = blocks_of(instruments, part_size(runner, len(instruments), BLOCK))
        with loadable_flow():
            futures = {
                runner.submit(forecast_block, {"plan": plan, "block": block}): block for block in blocks
            }
        left_s = None if plan.time is None else partial(plan.time.left_s, SUMMARY_S)
        try:
            for done in in_batches(futures, left_s):
                for future in done:
                    block = futures.pop(future)
                    progress.advance(len(block.instruments))
                    yield _outcome(block, future)
        except OutOfTime as error:
            for block in futures.values():
                yield failed(block, error)


def _outcome(block: Block, future: PrefectFuture[BlockOutcome]) -> BlockOutcome:
    try:
        outcome = future.result()
    except Exception as error:  # a block that was lost must not stop the others
        get_run_logger().error("the block of %s is lost: %s", block, error)
        return failed(block, error)
    for text in outcome.notices:
        add_notice(text)
    return outcome
