"""Stores the answers of the server to the orders of a run, and returns the outcome of each symbol."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any, TypeVar, cast

from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger
from prefect.utilities.annotations import quote

from flows.forecasting.forecasts import Order, build_row
from flows.forecasting.run_summary import Horizon, Milliseconds, SymbolOutcome, other_warnings
from flows.forecasting.run_table import outcome_line
from flows.forecasting.store import PredictionRow
from flows.forecasting.stored_inputs import StoredInputs, build_inputs
from flows.forecasting.tasks import store
from flows.runtime.database import StatementTimeout
from flows.runtime.run_database import RunDatabase
from inference_server.client import TimedAnswer
from market.warning_codes import WarningCode, code_of

T = TypeVar("T")
F = TypeVar("F", bound=PrefectFuture[Any] | Future[Any])


def quoted(argument: T) -> T:
    """Mark an argument of a task so that Prefect does not search it for results of other tasks."""
    return cast("T", quote(argument))


def in_batches(futures: Iterable[F], left_s: Callable[[], float] | None = None) -> Iterator[list[F]]:
    """Yield futures as they complete: together all that completed since the batch before.

    Parameters
    ----------
    left_s
        Returns the seconds that are left to wait, and raises where none are; without it the wait has no end.
    """
    completed: SimpleQueue[Any] = SimpleQueue()
    pending = list(futures)
    for future in pending:
        future.add_done_callback(completed.put)
    remaining = len(pending)
    del pending  # so that the caller can free each future once its answer is stored
    while remaining:
        try:
            batch = [completed.get(timeout=None if left_s is None else left_s())]
        except Empty:
            continue  # `left_s` raises
        try:
            while True:
                batch.append(completed.get_nowait())
        except Empty:
            remaining -= len(batch)
        yield batch


def store_answers(
    database: RunDatabase,
    answers: Sequence[tuple[Order, Future[TimedAnswer]]],
    without_events: Mapping[str, str],
    level: int = logging.INFO,
) -> tuple[list[SymbolOutcome], list[str]]:
    """Store the answers for some symbols; the failure of one symbol is its own outcome.

    Parameters
    ----------
    without_events
        By symbol, why its forecast was requested without events.
    level
        Of the lines of the log about each symbol.

    Returns
    -------
    outcomes, superseded
        Outcomes of the symbols, and the symbols that another model answered than the one that their orders
        were made for, or whose request was cancelled for that reason: nothing of these is stored.
    """
    outcomes: list[SymbolOutcome] = []
    superseded: list[str] = []
    built: list[tuple[Order, TimedAnswer, PredictionRow, StoredInputs, str | None]] = []
    for order, future in answers:
        try:
            answer = future.result()
            if answer.model.version != order.model_version:
                superseded.append(order.symbol)
                continue
            reason = without_events.get(order.symbol)
            if reason is None and not answer.events_used:
                reason = "the server left them out"
            row = build_row(order, answer, late=order.window.late, without_events=reason)
            built.append((order, answer, row, build_inputs(order, answer), reason))
        except CancelledError:
            superseded.append(order.symbol)
        except Exception as error:  # a failure of one symbol, of any kind, must not stop the others
            outcomes.append(_failed(order, error))
    if not built:
        return outcomes, superseded
    began = time.perf_counter()
    results = _store(database, [(row, inputs) for _, _, row, inputs, _ in built])
    store_ms = (time.perf_counter() - began) * 1000
    for (order, answer, _, _, reason), result in zip(built, results, strict=True):
        if isinstance(result, PredictionRow):
            outcome = replace(
                outcome_of(order, result, reason),
                took=Milliseconds(answer.queue_ms, answer.model_ms, store_ms),
            )
            _log(order, result, outcome, level)
            outcomes.append(outcome)
        else:
            outcomes.append(_failed(order, result))
    return outcomes, superseded


def _store(
    database: RunDatabase, forecasts: list[tuple[PredictionRow, StoredInputs]]
) -> list[PredictionRow | Exception]:
    """Store forecasts together; after a statement timeout one by one, so that one locked row fails alone."""
    try:
        return list(store(database, forecasts))
    except StatementTimeout as error:
        if len(forecasts) == 1:
            return [error]
        return [result for forecast in forecasts for result in _store(database, [forecast])]
    except Exception as error:  # a failure of any kind must not stop the other blocks
        return [error] * len(forecasts)


def _failed(order: Order, error: Exception) -> SymbolOutcome:
    return SymbolOutcome(order.symbol, error=f"{type(error).__name__}: {error}")


def _log(order: Order, row: PredictionRow, outcome: SymbolOutcome, level: int) -> None:
    logger = get_run_logger()
    if not logger.isEnabledFor(level):
        return
    logged = set(order.warnings) - set(order.window.warnings)  # when the event arrays were built
    for text in other_warnings(row.warnings or ()):
        if text not in logged:
            logger.log(logging.WARNING if level == logging.INFO else level, "%s: %s", order.symbol, text)
    logger.log(level, outcome_line(outcome))


def outcome_of(
    order: Order, row: PredictionRow, without_events: str | None, *, unchanged: bool = False
) -> SymbolOutcome:
    """Return the outcome of a symbol that has a row."""
    window = order.window
    codes = {code_of(text) for text in row.warnings or ()}
    return SymbolOutcome(
        order.symbol,
        Horizon.of(row),
        last_close=window.last_close,
        late=window.late,
        without_events=without_events,
        unchanged=unchanged,
        clipped=WarningCode.CLIPPED_CANDLES in codes,
        shorter_lookback=len(window.timestamps) if WarningCode.SHORTER_LOOKBACK in codes else None,
    )
