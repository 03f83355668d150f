"""Prepares a run: what its blocks have in common, and which of its symbols wait for a candle."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import msgspec
import psycopg
from prefect.logging import get_run_logger

from flows.forecasting.answers import quoted
from flows.forecasting.block import read_windows
from flows.forecasting.event_sources import SourcesOfRun
from flows.forecasting.forecasts import usable_lookback
from flows.forecasting.late_candles import expected_candles, may_be_late, waiting_ends_in_s
from flows.forecasting.run_plan import RunPlan, RunSettings, blocks_of
from flows.forecasting.tasks import read_instruments, read_newest, read_reach, read_widenings
from flows.forecasting.training_span import training_span
from flows.forecasting.universe import Universe, skip_without_candles
from flows.runtime.run_database import RunDatabase
from flows.scoring.calibration import Calibration
from inference_server.schemas import ModelInfo
from market.instruments import Instrument
from market.timeframes import Timeframe
from market.warning_codes import WarningCode, warning
from sql.errors import DatabaseError, one_line


def plan_run(
    database: RunDatabase, model: ModelInfo, settings: RunSettings, symbols: list[str] | None
) -> tuple[RunPlan, Universe]:
    """Read the instruments of a run, and what its blocks have in common.

    Symbols that were requested by name are not skipped: without candles they fail.

    Raises
    ------
    ValueError
        See `usable_lookback`.
    sql.errors.DatabaseError, psycopg.Error
        The instruments can't be read.
    LookupError
        No symbols were requested and none is active.
    """
    lookback = usable_lookback(
        settings.lookback, settings.sampling.pred_len, model.max_context, model.limits.min_candles
    )
    universe = read_instruments(database, symbols)
    timeframe = settings.sampling.timeframe
    calibrations, warnings = calibrations_or_warning(database, model, timeframe, settings.as_of)
    span = training_span(model)
    model = msgspec.structs.replace(model, manifest={})
    plan = RunPlan(model, settings, lookback, calibrations, warnings, SourcesOfRun(), span)
    present, plan = with_reach(database, plan, universe.instruments)
    return plan, universe if symbols is not None else skip_without_candles(universe, present, timeframe)


def with_reach(
    database: RunDatabase, plan: RunPlan, instruments: Mapping[str, Instrument]
) -> tuple[frozenset[str], RunPlan]:
    """Return which symbols have candles, and a plan whose calendar is for the windows of all of them.

    A symbol's row is then the same in whatever block it is. Where the times of the candles can't be read,
    each block finds out by itself, and all symbols count as having some.
    """
    try:
        present, sources = read_reach(database, quoted(instruments), plan.cut)
    except (DatabaseError, psycopg.Error) as error:
        get_run_logger().warning(
            "the times of the candles can't be read, so each block reads the calendar for itself: %s", error
        )
        return frozenset(instruments), replace(plan, sources=SourcesOfRun())
    return present, replace(plan, sources=sources)


def late_symbols(
    database: RunDatabase, plan: RunPlan, instruments: Mapping[str, Instrument], at_once: int
) -> dict[str, datetime]:
    """Return the symbols whose newest candle the run waits for, with its open; none where it doesn't wait.

    Parameters
    ----------
    at_once
        Symbols whose candles are read at once.
    """
    settings = plan.settings
    timeframe = settings.sampling.timeframe
    if waiting_ends_in_s(settings.as_of, settings.wait_for_candles_s) <= 0:
        return {}
    late: dict[str, datetime] = {}
    try:
        newest = read_newest(database, quoted(list(instruments)), timeframe, settings.as_of)
        candidates = may_be_late(instruments, newest, timeframe, settings.as_of)
        for block in blocks_of({symbol: instruments[symbol] for symbol in candidates}, at_once):
            windows = read_windows(database, plan, block).windows
            late |= expected_candles(windows, timeframe, settings.as_of)
    except (DatabaseError, psycopg.Error) as error:  # the blocks are read again, and report a failure
        get_run_logger().warning("the run waits for no candle, as the newest can't be read: %s", error)
        return {}
    return late


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
