"""Forecasts one block of symbols and stores the answers: the task of Prefect's that a run consists of."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Final

import psycopg
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from flows.forecasting.answers import in_batches, outcome_of, store_answers
from flows.forecasting.candles import CandleWindow, Windows, closed_windows
from flows.forecasting.event_plan import EventPlan, unreadable
from flows.forecasting.fingerprint import with_fingerprint
from flows.forecasting.forecasts import Order
from flows.forecasting.lookback import shortened
from flows.forecasting.run_plan import Block, BlockOutcome, RunPlan
from flows.forecasting.run_summary import SymbolOutcome
from flows.forecasting.tasks import build_events, forecast, model_of, read_block, read_unchanged
from flows.forecasting.training_span import span_warnings
from flows.runtime.dask_cluster import check_environment, is_on_worker, watch_for_release
from flows.runtime.run_database import RunDatabase
from flows.runtime.run_notices import take_notices
from flows.runtime.server_calls import open_client
from flows.runtime.server_pool import ServerPool
from flows.runtime.settings import FlowSettings
from flows.runtime.time_limits import within_run_of_another_process
from inference_server.client import TimedAnswer
from sql.errors import DatabaseError

LOGGED: Final = 100
"""Symbols of a block up to which each has lines in the log of the run.

Prefect stores every line as a row of its database, and a run of 10,000 symbols every hour would add 240,000 a
day. The run's table has what became of each symbol, with its warnings.
"""

Answers = list[tuple[Order, Future[TimedAnswer]]]


@dataclass(frozen=True)
class Prepared:
    """The orders of a block that are to be sent, and the outcomes of its other symbols."""

    orders: list[Order]
    outcomes: list[SymbolOutcome]
    without_events: Mapping[str, str]


@task(name="forecast a block", task_run_name="forecast {block}", cache_policy=NO_CACHE)
def forecast_block(
    plan: RunPlan, block: Block, advance: Callable[[int], object] = lambda _: None
) -> BlockOutcome:
    """Forecast a block of symbols and store the answers, with connections of its own.

    A block that can't be read or prepared is a failure of its symbols alone.

    Parameters
    ----------
    advance
        Takes the number of symbols that are done since its last call.
    """
    with (
        within_run_of_another_process(plan.time),
        RunDatabase() as database,
        open_client(plan.model) as servers,
    ):
        try:
            check_environment()
            if model_of(servers).version != plan.model.version:
                return BlockOutcome([], list(block.instruments))
            prepared = prepare(database, plan, block)
        except Exception as error:  # a failure of any kind must not stop the other blocks
            get_run_logger().exception("a block of %d symbols can't be forecast", len(block.instruments))
            advance(len(block.instruments))
            return failed(block, error)
        outcome = _send_and_store(database, servers, prepared, advance)
    get_run_logger().info("%s: %s", block, counts(outcome))
    return outcome._replace(notices=tuple(take_notices())) if is_on_worker() else outcome


def failed(block: Block, error: BaseException) -> BlockOutcome:
    """Return the outcome of a block that failed as a whole."""
    failure = f"{type(error).__name__}: {error}"
    return BlockOutcome([SymbolOutcome(symbol, error=failure) for symbol in block.instruments], [])


def counts(block: BlockOutcome) -> str:
    """Return in a few words what became of the symbols of a block."""
    found = Counter(
        "failed" if each.error is not None
        else "left out" if each.row is None
        else "unchanged" if each.unchanged
        else "stored"
        for each in block.outcomes
    )  # fmt: skip
    found["to be forecast again with another model"] = len(block.superseded)
    return ", ".join(f"{count} {what}" for what, count in found.items() if count)


def _send_and_store(
    database: RunDatabase, servers: ServerPool, prepared: Prepared, advance: Callable[[int], object]
) -> BlockOutcome:
    """Send the orders, and store the answers as they come."""
    advance(len(prepared.outcomes))
    outcomes, superseded = prepared.outcomes, list[str]()
    released = watch_for_release()
    settings = FlowSettings.from_env()
    level = logging.INFO if len(prepared.orders) <= LOGGED else logging.DEBUG
    with _Requests(servers, settings.requests_at_once * len(settings.servers)) as requests:
        for answers in requests.answers(prepared.orders):
            stored, newer = store_answers(database, answers, prepared.without_events, level)
            outcomes += stored
            superseded += newer
            advance(len(answers))
            if newer or released():
                requests.cancel()
    return BlockOutcome(outcomes, superseded)


class _Requests:
    """The requests of a block, some of them under way at once; leaving the context cancels the others."""

    def __init__(self, servers: ServerPool, at_once: int) -> None:
        self._servers = servers
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="forecast")
        self._orders: dict[Future[TimedAnswer], Order] = {}

    def __enter__(self) -> "_Requests":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def cancel(self) -> None:
        """Cancel the requests that are not under way yet."""
        for future in list(self._orders):
            future.cancel()

    def answers(self, orders: list[Order]) -> Iterator[Answers]:
        """Send some orders and yield the answers, together all that arrived since those before.

        Each order is forgotten once its answer was given.
        """
        for order in orders:
            future = self._pool.submit(copy_context().run, forecast, self._servers, order)
            self._orders[future] = order
        orders.clear()
        for futures in in_batches(self._orders):
            yield [(self._orders.pop(future), future) for future in futures]


def prepare(database: RunDatabase, plan: RunPlan, block: Block) -> Prepared:
    """Read the candles of a block, build its event arrays, and leave out the forecasts that are stored."""
    settings = plan.settings
    windows, unusable, stale = read_windows(database, plan, block)
    events = (
        events_or_reason(database, plan, windows)
        if settings.with_events
        else EventPlan.without(windows, "turned off for this run", settled=True)
    )
    orders = _orders(plan, windows, events)
    unchanged = {} if settings.force else read_unchanged(database, plan.model, orders)
    outcomes = [
        outcome_of(order, unchanged[order.symbol], events.reasons.get(order.symbol), unchanged=True)
        for order in orders
        if order.symbol in unchanged
    ]
    outcomes += [SymbolOutcome(symbol, error=reason) for symbol, reason in unusable.items()]
    outcomes += [SymbolOutcome(symbol, stale=reason) for symbol, reason in stale.items()]
    changed = [order for order in orders if order.symbol not in unchanged]
    return Prepared(changed, outcomes, events.reasons)


def read_windows(database: RunDatabase, plan: RunPlan, block: Block) -> Windows:
    """Read the candles of a block and cut them to the windows that its forecasts start from."""
    cut = plan.cut
    timeframe = plan.settings.sampling.timeframe
    candles = read_block(database, list(block.instruments), timeframe, cut.lookback, cut.as_of)
    windows = closed_windows(
        candles,
        block.instruments,
        timeframe,
        cut.as_of,
        lookback=cut.lookback,
        pred_len=cut.pred_len,
        min_candles=cut.min_candles,
        stale_after=cut.stale_after,
    )
    if timeframe in FlowSettings.from_env().shorter_lookback:
        windows = windows._replace(windows=shortened(windows.windows, cut.min_candles))
    return windows


def _orders(plan: RunPlan, windows: Mapping[str, CandleWindow], events: EventPlan) -> list[Order]:
    event_warnings = events.warnings_by_symbol()
    return [
        with_fingerprint(
            Order(
                symbol,
                window,
                plan.settings.sampling,
                plan.model.version,
                events.arrays.get(symbol),
                events.contexts.get(symbol),
                plan.calibrations.get(window.instrument.asset_class),
                plan.settings.store_samples,
                (
                    *window.warnings,
                    *event_warnings.get(symbol, ()),
                    *plan.warnings,
                    *span_warnings(plan.training_span, window),
                ),
                statistics=plan.settings.statistics,
            ),
            settled=events.settled or symbol in events.arrays,
        )
        for symbol, window in windows.items()
    ]


def events_or_reason(database: RunDatabase, plan: RunPlan, windows: Mapping[str, CandleWindow]) -> EventPlan:
    """Build the event arrays; where the database fails after all retries, forecasts are without events."""
    try:
        return build_events(
            database,
            plan.model,
            windows,
            plan.settings.sampling.timeframe,
            plan.settings.as_of,
            plan.sources,
        )
    except (DatabaseError, psycopg.Error) as error:
        return EventPlan.without(windows, unreadable(error))
