"""Plans a backfill and works through it block by block."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from prefect import task
from prefect.logging import get_run_logger

from flows.backfilling.filling import Backfill, Block, fill_block
from flows.backfilling.missing import Wanted, read_first_candles, read_missing, read_newest_live
from flows.backfilling.orders import BackfillSettings
from flows.backfilling.past_range import PastRange, check_history
from flows.backfilling.progress import BackfillCount, ProgressArtifact
from flows.forecasting.answers import quoted
from flows.forecasting.tasks import read_instruments
from flows.runtime.retries import RETRIED
from flows.runtime.run_database import RunDatabase
from flows.runtime.server_calls import open_client
from inference_server.schemas import ModelInfo
from market.instruments import Instrument

BLOCK_SYMBOLS: Final = 250
"""Symbols whose candles of a week are in memory at once."""

NO_LIVE: Final = (
    "no live forecast of this model is stored, and a backfilled one must not be the newest: run the flow "
    "predict-batch for it once (python -m flows.predict), then the backfill again"
)
"""Why nothing of a symbol is made."""


@dataclass(frozen=True)
class BackfillPlan:
    """What a run is to make.

    Attributes
    ----------
    blocks
        Those with missing forecasts.
    count
        What is stored already, and which symbols can't be forecast.
    """

    wanted: Wanted
    blocks: list[Block]
    count: BackfillCount


def fill_range(
    model: ModelInfo,
    settings: BackfillSettings,
    past: PastRange,
    symbols: list[str] | None,
    made_before: datetime | None,
) -> tuple[BackfillCount, str | None]:
    """Make the missing forecasts of a range and store them.

    Parameters
    ----------
    symbols
        Names of instruments; None for all that are active.
    made_before
        Backfilled forecasts that are older than this are made again; None for none.

    Returns
    -------
    count, stopped
        What was done, and why it ended early; None where it did not.

    Raises
    ------
    ValueError
        The range starts before the candles, or no symbol can be filled.
    LookupError
        No symbols were requested and none is active.
    """
    with RunDatabase() as database, open_client(model) as servers:
        universe = read_instruments(database, symbols)
        if not universe.instruments:
            raise ValueError("; ".join(f"{symbol}: {reason}" for symbol, reason in universe.unknown.items()))
        plan = read_plan(database, quoted(universe.instruments), past, model.name, made_before)
        for symbol, reason in universe.unknown.items():
            plan.count.add_symbol_without_forecasts(symbol, reason, failed=True)
        progress = ProgressArtifact(f"backfill-{past.timeframe}", plan.count)
        run = Backfill(model, settings, plan.wanted, database, servers, plan.count, progress)
        progress.show(at_once=True)
        try:
            for block in plan.blocks:
                fill_block(quoted(run), quoted(block))
                progress.show()
        except Exception as error:  # of any kind: what is stored stays, and the run says why it ended
            get_run_logger().exception("the backfill ends early")
            return plan.count, f"{type(error).__name__}: {error}"
        finally:
            progress.show(at_once=True)
    return plan.count, None


@task(name="find what is missing", **RETRIED)
def read_plan(
    database: RunDatabase,
    instruments: Mapping[str, Instrument],
    past: PastRange,
    model_name: str,
    made_before: datetime | None,
) -> BackfillPlan:
    """Find the forecasts that are missing, block by block.

    Raises
    ------
    ValueError
        The range starts before the candles, or no symbol can be filled.
    """
    with database.connection() as connection:
        first_candles = read_first_candles(connection, past.timeframe, instruments)
        check_history(past, min(first_candles.values(), default=None))
        newest_live = read_newest_live(connection, past.timeframe, model_name, first_candles)
    if not newest_live:
        raise ValueError(f"{', '.join(list(instruments)[:10])}, model {model_name}: {NO_LIVE}")
    plan = BackfillPlan(Wanted(past, model_name, newest_live, made_before), [], BackfillCount(0))
    for symbol in instruments:
        if symbol not in first_candles:
            plan.count.add_symbol_without_forecasts(symbol, f"no {past.timeframe} candles")
        elif symbol not in newest_live:
            plan.count.add_symbol_without_forecasts(symbol, NO_LIVE)
    for block in blocks_of({symbol: instruments[symbol] for symbol in newest_live}, past):
        with database.connection() as connection:
            missing = read_missing(connection, plan.wanted, block.instruments, block.part)
        plan.count.add_plan(missing)
        if missing:
            plan.blocks.append(block)
    return plan


def blocks_of(instruments: Mapping[str, Instrument], past: PastRange) -> Iterator[Block]:
    """Yield the blocks of a range, oldest first, each with a part of the symbols."""
    symbols = sorted(instruments)
    groups: Sequence[dict[str, Instrument]] = [
        {symbol: instruments[symbol] for symbol in symbols[start : start + BLOCK_SYMBOLS]}
        for start in range(0, len(symbols), BLOCK_SYMBOLS)
    ]
    for part in past.slices():
        for group in groups:
            yield Block(group, part)
