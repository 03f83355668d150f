"""Forecasts the symbols of a run in blocks, so that memory does not grow with their number."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import psycopg
from prefect.logging import get_run_logger

from flows.forecasting.answers import in_batches, outcome_of, quoted, store_answers
from flows.forecasting.candles import CandleWindow, Windows, closed_windows
from flows.forecasting.event_plan import EventPlan, event_requests, unreadable, why_unusable
from flows.forecasting.event_sources import SourcesOfRun
from flows.forecasting.fingerprint import with_fingerprint
from flows.forecasting.forecasts import Order, SamplingSettings, usable_lookback
from flows.forecasting.lookback import shortened
from flows.forecasting.path_statistics import WantedStatistics
from flows.forecasting.run_summary import SymbolOutcome
from flows.forecasting.tasks import (
    build_events,
    forecast,
    read_block,
    read_instruments,
    read_unchanged,
    read_widenings,
)
from flows.forecasting.training_span import span_warnings, training_span
from flows.forecasting.universe import Universe, skip_without_candles
from flows.runtime.run_database import RunDatabase
from flows.runtime.server_calls import open_client
from flows.runtime.settings import FlowSettings
from flows.scoring.calibration import Calibration
from inference_server.client import Client
from inference_server.schemas import ModelInfo
from market.instruments import Instrument
from market.timeframes import Timeframe
from market.warning_codes import WarningCode, warning
from sql.errors import DatabaseError, one_line

BLOCK: Final = 250
"""Symbols whose candles, event arrays and answers are in memory at once.

A symbol takes at most 0.12 MB with 392 + 120 candles and 20 sample paths. Blocks of 1,000 symbols took 92 MB
more than blocks of 250 and hardly less time (10.1 and 10.8 ms of this process for a symbol).
"""


@dataclass(frozen=True)
class RunSettings:
    """The settings of a run, the same for every symbol; `flows.predict.predict_batch` describes them."""

    sampling: SamplingSettings
    as_of: datetime
    lookback: int | None
    with_events: bool
    store_samples: bool
    stale_after: int | None
    force: bool
    statistics: WantedStatistics


@dataclass(frozen=True)
class RunContext:
    """The model, the data and the connections that the blocks of a run share.

    Attributes
    ----------
    calibrations
        By asset class.
    warnings
        Warnings of every row: that no calibration could be read.
    requested_by_name
        Whether the symbols were requested by name; one without candles is then a failure.
    sources
        The calendar and the leaders, read once.
    """

    model: ModelInfo
    settings: RunSettings
    lookback: int
    calibrations: Mapping[str, Calibration]
    warnings: tuple[str, ...]
    requested_by_name: bool
    database: RunDatabase
    client: Client
    sources: SourcesOfRun


@dataclass(frozen=True)
class Prepared:
    """The orders of a block that are to be sent, and the outcomes of its other symbols."""

    orders: list[Order]
    outcomes: list[SymbolOutcome]
    without_events: Mapping[str, str]


def forecast_all(
    model: ModelInfo, settings: RunSettings, symbols: list[str] | None
) -> tuple[list[SymbolOutcome], list[str]]:
    """Forecast symbols with the model that the server serves.

    Returns
    -------
    outcomes, superseded
        Outcomes of the symbols, and the symbols that another model answered or would answer: nothing of these
        is stored, since seed, lookback, events and calibration of their rows would be those of this model.
    """
    lookback = usable_lookback(
        settings.lookback, settings.sampling.pred_len, model.max_context, model.limits.min_candles
    )
    with RunDatabase() as database, open_client() as client:
        universe = read_instruments(database, symbols)
        calibrations, warnings = calibrations_or_warning(
            database, model, settings.sampling.timeframe, settings.as_of
        )
        context = RunContext(
            model,
            settings,
            lookback,
            calibrations,
            warnings,
            symbols is not None,
            database,
            client,
            SourcesOfRun(),
        )
        outcomes = [SymbolOutcome(symbol, error=reason) for symbol, reason in universe.unknown.items()]
        superseded: list[str] = []
        blocks = list(_blocks(universe.instruments))
        if len(blocks) > 1 and settings.with_events and why_unusable(model) is None:
            include_all_windows(context, blocks)
        for block in blocks:
            if superseded:
                superseded += block
                continue
            block_outcomes, block_superseded = forecast_block(context, block)
            outcomes += block_outcomes
            superseded += block_superseded
    return outcomes, sorted(superseded)


def _blocks(instruments: Mapping[str, Instrument]) -> Iterator[dict[str, Instrument]]:
    symbols = list(instruments)
    for start in range(0, len(symbols), BLOCK):
        yield {symbol: instruments[symbol] for symbol in symbols[start : start + BLOCK]}


def include_all_windows(context: RunContext, blocks: Sequence[Mapping[str, Instrument]]) -> None:
    """Extend the calendar to be read to the windows of all blocks.

    It is then read once, and each block's events are built from the same calendar.
    """
    settings = context.settings
    for block in blocks:
        try:
            windows = read_windows(context, block)[1].windows
        except (DatabaseError, psycopg.Error):
            continue  # `forecast_block` reads the block again, and reports a failure
        context.sources.include(event_requests(windows, settings.sampling.timeframe, settings.as_of))


def forecast_block(
    context: RunContext, block: Mapping[str, Instrument]
) -> tuple[list[SymbolOutcome], list[str]]:
    """Forecast a block of symbols and store the answers; returns what `forecast_all` returns.

    A block that can't be read or prepared is a failure of its symbols alone.
    """
    try:
        prepared = prepare(context, block)
    except Exception as error:  # a failure of any kind must not stop the other blocks
        failure = f"{type(error).__name__}: {error}"
        get_run_logger().exception("a block of %d symbols can't be forecast", len(block))
        return [SymbolOutcome(symbol, error=failure) for symbol in block], []
    outcomes = prepared.outcomes
    superseded: list[str] = []
    client = quoted(context.client)
    orders = {forecast.submit(client, quoted(order)): order for order in prepared.orders}
    prepared.orders.clear()
    for futures in in_batches(orders):
        answers = [(orders.pop(future), future) for future in futures]
        batch_outcomes, batch_superseded = store_answers(context.database, answers, prepared.without_events)
        outcomes += batch_outcomes
        superseded += batch_superseded
    return outcomes, superseded


def prepare(context: RunContext, block: Mapping[str, Instrument]) -> Prepared:
    """Read the candles of a block, build its event arrays, and leave out the forecasts that are stored."""
    settings = context.settings
    universe, (windows, unusable, stale) = read_windows(context, block)
    events = (
        events_or_reason(context, windows)
        if settings.with_events
        else EventPlan.without(windows, "turned off for this run", settled=True)
    )
    orders = _orders(context, windows, events)
    unchanged = {} if settings.force else read_unchanged(context.database, context.model, quoted(orders))
    outcomes = [
        outcome_of(order, unchanged[order.symbol], events.reasons.get(order.symbol), unchanged=True)
        for order in orders
        if order.symbol in unchanged
    ]
    outcomes += [SymbolOutcome(symbol, error=reason) for symbol, reason in unusable.items()]
    outcomes += [SymbolOutcome(symbol, skipped=reason) for symbol, reason in universe.skipped.items()]
    outcomes += [SymbolOutcome(symbol, stale=reason) for symbol, reason in stale.items()]
    changed = [order for order in orders if order.symbol not in unchanged]
    return Prepared(changed, outcomes, events.reasons)


def read_windows(context: RunContext, block: Mapping[str, Instrument]) -> tuple[Universe, Windows]:
    """Read the candles of a block and cut them to the windows that its forecasts start from."""
    settings, min_candles = context.settings, context.model.limits.min_candles
    timeframe = settings.sampling.timeframe
    candles = read_block(context.database, quoted(list(block)), timeframe, context.lookback, settings.as_of)
    universe = Universe(dict(block), {}, {})
    if not context.requested_by_name:
        universe = skip_without_candles(universe, candles, timeframe)
    windows = closed_windows(
        candles,
        universe.instruments,
        timeframe,
        settings.as_of,
        lookback=context.lookback,
        pred_len=settings.sampling.pred_len,
        min_candles=min_candles,
        stale_after=settings.stale_after,
    )
    if timeframe in FlowSettings.from_env().shorter_lookback:
        windows = windows._replace(windows=shortened(windows.windows, min_candles))
    return universe, windows


def _orders(context: RunContext, windows: Mapping[str, CandleWindow], events: EventPlan) -> list[Order]:
    event_warnings, span = events.warnings_by_symbol(), training_span(context.model)
    return [
        with_fingerprint(
            Order(
                symbol,
                window,
                context.settings.sampling,
                context.model.version,
                events.arrays.get(symbol),
                events.contexts.get(symbol),
                context.calibrations.get(window.instrument.asset_class),
                context.settings.store_samples,
                (
                    *window.warnings,
                    *event_warnings.get(symbol, ()),
                    *context.warnings,
                    *span_warnings(span, window),
                ),
                statistics=context.settings.statistics,
            ),
            settled=events.settled or symbol in events.arrays,
        )
        for symbol, window in windows.items()
    ]


def events_or_reason(context: RunContext, windows: Mapping[str, CandleWindow]) -> EventPlan:
    """Build the event arrays; where the database fails after all retries, forecasts are without events."""
    try:
        return build_events(
            context.database,
            context.model,
            quoted(windows),
            context.settings.sampling.timeframe,
            context.settings.as_of,
            context.sources,
        )
    except (DatabaseError, psycopg.Error) as error:
        return EventPlan.without(windows, unreadable(error))


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
