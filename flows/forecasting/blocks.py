"""The forecasts of a run, block of symbols by block, so that memory does not grow with their number."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar, cast

import psycopg
from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger
from prefect.utilities.annotations import quote

from flows.forecasting.candles import CandleWindow, Windows, closed_windows
from flows.forecasting.event_plan import EventPlan, event_requests, unreadable, why_unusable
from flows.forecasting.event_sources import SourcesOfRun
from flows.forecasting.fingerprint import with_fingerprint
from flows.forecasting.forecasts import Order, Sampling, build_row, usable_lookback
from flows.forecasting.lookback import shortened
from flows.forecasting.path_statistics import WantedStatistics
from flows.forecasting.run_summary import Horizon, Outcome, other_warnings, outcome_line
from flows.forecasting.store import PredictionRow
from flows.forecasting.stored_inputs import PredictionInputs, build_inputs
from flows.forecasting.tasks import (
    build_events,
    forecast,
    read_block,
    read_instruments,
    read_unchanged,
    read_widenings,
    store,
)
from flows.forecasting.universe import Universe, skip_without_candles
from flows.runtime.database import StatementTimeout
from flows.runtime.run_database import RunDatabase
from flows.runtime.server_calls import open_client
from flows.runtime.settings import FlowSettings
from flows.scoring.calibration import Calibration
from inference_server.client import Client
from inference_server.schemas import ModelInfo, PredictAnswer
from market.instruments import Instrument
from market.timeframes import Timeframe
from market.warning_codes import WarningCode, code_of, warning
from sql.errors import DatabaseError, one_line

T = TypeVar("T")

BLOCK: Final = 250
"""Symbols whose candles, event arrays and answers are in memory at once.

Each takes 0.12 MB there with 392 + 120 candles and 20 sample paths. Blocks of 1,000 took 92 MB more than
these and hardly less time (10.1 and 10.8 ms of this process for a symbol).
"""


@dataclass(frozen=True)
class Run:
    """What every symbol of a run has in common; see `flows.predict.predict_batch`."""

    sampling: Sampling
    as_of: datetime
    lookback: int | None
    with_events: bool
    store_samples: bool
    stale_after: int | None
    force: bool
    statistics: WantedStatistics


@dataclass(frozen=True)
class Shared:
    """What the blocks of a run share.

    Attributes
    ----------
    calibrations
        By asset class.
    lack
        What every row is warned of: that no calibration could be read.
    named
        Whether the symbols were asked for by name, so that one without candles is a failure.
    sources
        The calendar and the leaders, read once.
    """

    model: ModelInfo
    run: Run
    lookback: int
    calibrations: Mapping[str, Calibration]
    lack: tuple[str, ...]
    named: bool
    database: RunDatabase
    client: Client
    sources: SourcesOfRun


@dataclass(frozen=True)
class Prepared:
    """The orders of a block that are to be sent, and what is known of its other symbols already."""

    orders: list[Order]
    outcomes: list[Outcome]
    without_events: Mapping[str, str]


def forecast_all(model: ModelInfo, run: Run, symbols: list[str] | None) -> tuple[list[Outcome], list[str]]:
    """Forecast symbols with the model that the server said it serves.

    Returns
    -------
    outcomes, moved
        What came of the symbols, and those that another model answered for, or would: nothing of them is
        stored, since seed, lookback, events and calibration of their rows would be those of this one.
    """
    lookback = usable_lookback(
        run.lookback, run.sampling.pred_len, model.max_context, model.limits.min_candles
    )
    with RunDatabase() as database, open_client() as client:
        universe = read_instruments(database, symbols)
        calibrations, lack = calibrations_or_reason(database, model, run.sampling.timeframe, run.as_of)
        shared = Shared(
            model, run, lookback, calibrations, lack, symbols is not None, database, client, SourcesOfRun()
        )
        outcomes = [Outcome(symbol, error=reason) for symbol, reason in universe.unknown.items()]
        moved: list[str] = []
        blocks = list(_blocks(universe.instruments))
        if len(blocks) > 1 and run.with_events and why_unusable(model) is None:
            find_reach(shared, blocks)
        for block in blocks:
            if moved:
                moved += block
                continue
            made, left = forecast_block(shared, block)
            outcomes += made
            moved += left
    return outcomes, sorted(moved)


def _blocks(instruments: Mapping[str, Instrument]) -> Iterator[dict[str, Instrument]]:
    symbols = list(instruments)
    for start in range(0, len(symbols), BLOCK):
        yield {symbol: instruments[symbol] for symbol in symbols[start : start + BLOCK]}


def find_reach(shared: Shared, blocks: Sequence[Mapping[str, Instrument]]) -> None:
    """Find how far the windows of all blocks reach, so that the calendar is read once, and judged alike."""
    run = shared.run
    for block in blocks:
        try:
            windows = cut(shared, block)[1].windows
        except (DatabaseError, psycopg.Error):
            continue  # the block fails when its turn comes, unless it can be read by then
        shared.sources.include(event_requests(windows, run.sampling.timeframe, run.as_of))


def forecast_block(shared: Shared, block: Mapping[str, Instrument]) -> tuple[list[Outcome], list[str]]:
    """Forecast a block of symbols and store what the server answers, as `forecast_all` does with all of them.

    A block that can't be read or prepared is the failure of its own symbols.
    """
    try:
        prepared = prepare(shared, block)
    except Exception as error:  # whatever it is, the other blocks are to be forecast
        failure = f"{type(error).__name__}: {error}"
        get_run_logger().exception("a block of %d symbols can't be forecast", len(block))
        return [Outcome(symbol, error=failure) for symbol in block], []
    outcomes = prepared.outcomes
    moved: list[str] = []
    client = unsearched(shared.client)
    sent = {forecast.submit(client, unsearched(order)): order for order in prepared.orders}
    prepared.orders.clear()
    for done in in_batches(sent):
        made, left = settle(
            shared.database, [(sent.pop(each), each) for each in done], prepared.without_events
        )
        outcomes += made
        moved += left
    return outcomes, moved


def prepare(shared: Shared, block: Mapping[str, Instrument]) -> Prepared:
    """Read the candles of a block, build its event arrays, and leave out what is stored already."""
    run, model = shared.run, shared.model
    universe, (windows, unusable, stale) = cut(shared, block)
    events = (
        events_or_reason(shared, windows)
        if run.with_events
        else EventPlan.without(windows, "turned off for this run", settled=True)
    )
    orders = _orders(shared, windows, events)
    unchanged = {} if run.force else read_unchanged(shared.database, model, unsearched(orders))
    outcomes = [
        outcome_of(order, unchanged[order.symbol], events.reasons.get(order.symbol), unchanged=True)
        for order in orders
        if order.symbol in unchanged
    ]
    outcomes += [Outcome(symbol, error=reason) for symbol, reason in unusable.items()]
    outcomes += [Outcome(symbol, skipped=reason) for symbol, reason in universe.skipped.items()]
    outcomes += [Outcome(symbol, stale=reason) for symbol, reason in stale.items()]
    return Prepared([each for each in orders if each.symbol not in unchanged], outcomes, events.reasons)


def cut(shared: Shared, block: Mapping[str, Instrument]) -> tuple[Universe, Windows]:
    """Read the candles of a block and cut them to the windows that its forecasts start from."""
    run, model = shared.run, shared.model
    timeframe = run.sampling.timeframe
    candles = read_block(shared.database, unsearched(list(block)), timeframe, shared.lookback, run.as_of)
    universe = Universe(dict(block), {}, {})
    if not shared.named:
        universe = skip_without_candles(universe, candles, timeframe)
    found = closed_windows(
        candles,
        universe.instruments,
        timeframe,
        run.as_of,
        lookback=shared.lookback,
        pred_len=run.sampling.pred_len,
        min_candles=model.limits.min_candles,
        stale_after=run.stale_after,
    )
    if timeframe in FlowSettings.from_env().shorter_lookback:
        found = found._replace(windows=shortened(found.windows, model.limits.min_candles))
    return universe, found


def _orders(shared: Shared, windows: Mapping[str, CandleWindow], events: EventPlan) -> list[Order]:
    remarks = events.warnings_by_symbol()
    return [
        with_fingerprint(
            Order(
                symbol,
                window,
                shared.run.sampling,
                shared.model.version,
                events.arrays.get(symbol),
                events.contexts.get(symbol),
                shared.calibrations.get(window.instrument.asset_class),
                shared.run.store_samples,
                (*window.warnings, *remarks.get(symbol, ()), *shared.lack),
                statistics=shared.run.statistics,
            ),
            settled=events.settled or symbol in events.arrays,
        )
        for symbol, window in windows.items()
    ]


def events_or_reason(shared: Shared, windows: Mapping[str, CandleWindow]) -> EventPlan:
    """Build the event arrays; where the database is away for good, forecasts are made without them."""
    run = shared.run
    try:
        return build_events(
            shared.database,
            shared.model,
            unsearched(windows),
            run.sampling.timeframe,
            run.as_of,
            shared.sources,
        )
    except (DatabaseError, psycopg.Error) as error:
        return EventPlan.without(windows, unreadable(error))


def calibrations_or_reason(
    database: RunDatabase, model: ModelInfo, timeframe: Timeframe, as_of: datetime
) -> tuple[dict[str, Calibration], tuple[str, ...]]:
    """Read the calibrations; where they can't be had, rows go without and carry a warning."""
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


def unsearched(argument: T) -> T:
    """Mark an argument of a task, which gets it bare, not to be searched for results of other tasks."""
    return cast("T", quote(argument))


def in_batches(futures: Iterable[PrefectFuture[Any]]) -> Iterator[list[PrefectFuture[Any]]]:
    """Give futures as they complete, all together that have completed by the time they are asked for."""
    ready: SimpleQueue[PrefectFuture[Any]] = SimpleQueue()
    waiting = list(futures)
    for future in waiting:
        future.add_done_callback(ready.put)
    left = len(waiting)
    del waiting  # who asks lets go of each as it is settled
    while left:
        batch = [ready.get()]
        try:
            while True:
                batch.append(ready.get_nowait())
        except Empty:
            left -= len(batch)
        yield batch


def settle(
    database: RunDatabase,
    answers: Sequence[tuple[Order, PrefectFuture[PredictAnswer]]],
    without_events: Mapping[str, str],
) -> tuple[list[Outcome], list[str]]:
    """Store what the server answered for some symbols; whatever goes wrong with one is its own outcome.

    Returns
    -------
    outcomes, moved
        What came of the symbols, and those that another model answered for than the order was made for.
    """
    outcomes: list[Outcome] = []
    moved: list[str] = []
    built: list[tuple[Order, PredictionRow, PredictionInputs, str | None]] = []
    for order, answer in answers:
        try:
            answered = answer.result()
            if answered.model.version != order.model_version:
                moved.append(order.symbol)
                continue
            reason = without_events.get(order.symbol)
            if reason is None and not answered.events_used:
                reason = "the server left them out"
            row = build_row(order, answered, late=order.window.late, without_events=reason)
            built.append((order, row, build_inputs(order, answered), reason))
        except Exception as error:  # a symbol's failure of any kind must not stop the others
            outcomes.append(_failed(order, error))
    if not built:
        return outcomes, moved
    stored = _stored(database, [(row, inputs) for _, row, inputs, _ in built])
    for (order, _, _, reason), kept in zip(built, stored, strict=True):
        if isinstance(kept, PredictionRow):
            outcomes.append(_settled(order, kept, reason))
        else:
            outcomes.append(_failed(order, kept))
    return outcomes, moved


def _stored(
    database: RunDatabase, forecasts: list[tuple[PredictionRow, PredictionInputs]]
) -> list[PredictionRow | Exception]:
    """Store forecasts together, and one by one where a row that another session holds would cost them all."""
    try:
        return list(store(database, unsearched(forecasts)))
    except StatementTimeout as error:
        if len(forecasts) == 1:
            return [error]
        return [kept for one in forecasts for kept in _stored(database, [one])]
    except Exception as error:  # a failure of any kind must not stop the other blocks
        return [error] * len(forecasts)


def _failed(order: Order, error: Exception) -> Outcome:
    return Outcome(order.symbol, error=f"{type(error).__name__}: {error}")


def _settled(order: Order, row: PredictionRow, reason: str | None) -> Outcome:
    outcome = outcome_of(order, row, reason)
    told = set(order.warnings) - set(order.window.warnings)  # once for all symbols, when events were built
    for text in other_warnings(row.warnings or ()):
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
        Horizon.of(row),
        last_close=window.last_close,
        late=window.late,
        without_events=without_events,
        unchanged=unchanged,
        clipped=WarningCode.CLIPPED_CANDLES in codes,
        shorter_lookback=len(window.timestamps) if WarningCode.SHORTER_LOOKBACK in codes else None,
    )
