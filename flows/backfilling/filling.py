"""Makes missing forecasts of the past: requests several at a time and stores them in batches."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from prefect import task

from flows.backfilling.missing import Wanted, read_missing
from flows.backfilling.orders import BackfillSettings, LeftOut, PastOrder, past_orders
from flows.backfilling.past_market import read_past_market
from flows.backfilling.past_range import TimeSlice
from flows.backfilling.progress import BackfillCount, ProgressArtifact
from flows.forecasting.forecasts import build_row
from flows.forecasting.store import PredictionRow, insert_backfilled
from flows.forecasting.tasks import forecast
from flows.runtime.retries import RETRIED
from flows.runtime.run_database import RunDatabase
from flows.runtime.server_pool import ServerPool
from flows.runtime.settings import FlowSettings
from inference_server.client import PredictionRefused, ServerTimeout, TimedAnswer
from inference_server.schemas import ModelInfo, PredictAnswer
from market.instruments import Instrument
from market.warning_codes import WarningCode, code_of

STORED_AT_ONCE: Final = 100
"""Forecasts of one transaction at most."""

STORED_EVERY_S: Final = 5.0
"""Seconds after which answers are stored, however few they are: a run that is killed loses no more."""

WAITING: Final = 3
"""Forecasts that wait for each that is requested, so that the servers have work while rows are stored."""


@dataclass(frozen=True)
class Block:
    """Symbols and a part of the range, which are read and forecast together."""

    instruments: Mapping[str, Instrument]
    part: TimeSlice

    def __str__(self) -> str:
        names = list(self.instruments)
        symbols = names[0] if len(names) == 1 else f"{len(names)} symbols"
        return f"{symbols} until {self.part.until:%Y-%m-%d %H:%M}"


@dataclass(frozen=True)
class Backfill:
    """What the blocks of a run share."""

    model: ModelInfo
    settings: BackfillSettings
    wanted: Wanted
    database: RunDatabase
    servers: ServerPool
    count: BackfillCount
    progress: ProgressArtifact


class ModelChangedError(RuntimeError):
    """The server answered with another model than the one that the run began with."""


@task(name="fill", task_run_name="fill {block}", **RETRIED)
def fill_block(run: Backfill, block: Block) -> None:
    """Make the missing forecasts of a block and store them.

    What is stored already is not made again, so that another try of the task goes on where the last one
    ended.

    Raises
    ------
    ModelChangedError
        The server's model has changed.
    inference_server.client.ServerUnavailable, sql.errors.DatabaseError, psycopg.OperationalError
        The server or the database is unavailable; what was answered until then is stored.
    """
    timeframe = run.wanted.past.timeframe
    with run.database.connection() as connection:
        missing = read_missing(connection, run.wanted, block.instruments, block.part)
        if not missing:
            return
        market = read_past_market(
            connection,
            run.model,
            timeframe,
            block.instruments,
            missing,
            block.part,
            run.settings.lookback,
            run.settings.sampling.pred_len,
            with_events=run.settings.with_events,
        )
    without: list[LeftOut | FailedForecast] = []
    answers = _answers(run, past_orders(market, missing, run.model, run.settings), without)
    for batch in _batches(answers):
        without += _store(run, batch)
        run.progress.show()
    for each in without:  # counted at the end, so that another try does not count them twice
        run.count.add_without_forecast(each.symbol, each.reason, failed=isinstance(each, FailedForecast))


Answered = tuple[PastOrder, PredictAnswer]


@dataclass(frozen=True)
class FailedForecast:
    """A forecast that failed by itself, and why; another request for it would fail as well."""

    symbol: str
    reason: str

    @classmethod
    def of(cls, symbol: str, error: Exception) -> "FailedForecast":
        """Return the failure of a symbol's forecast by an error."""
        return cls(symbol, f"{type(error).__name__}: {error}")


def _answers(
    run: Backfill, orders: Iterable[PastOrder | LeftOut], without: list[LeftOut | FailedForecast]
) -> Iterator[Answered]:
    """Request forecasts from several threads and yield the answers in order.

    An error that concerns more than one forecast ends it, once the answers to requests under way are
    yielded.

    Parameters
    ----------
    without
        Takes the candles that have no answer.
    """
    settings = FlowSettings.from_env()
    at_once = settings.requests_at_once * len(settings.servers)
    with ThreadPoolExecutor(at_once) as pool:
        under_way: deque[tuple[PastOrder, Future[TimedAnswer]]] = deque()
        failure: Exception | None = None
        remaining = iter(orders)
        while True:
            while failure is None and len(under_way) < (1 + WAITING) * at_once:
                past_order = next(remaining, None)
                if past_order is None:
                    break
                if isinstance(past_order, LeftOut):
                    without.append(past_order)
                    continue
                # The context carries the flow run, to which the call's limits and log lines belong.
                future = pool.submit(copy_context().run, forecast, run.servers, past_order.order)
                under_way.append((past_order, future))
            if not under_way:
                break
            past_order, future = under_way.popleft()
            try:
                yield past_order, _checked(run.model, future.result())
            except (PredictionRefused, ServerTimeout) as error:
                without.append(FailedForecast.of(past_order.order.symbol, error))
            except Exception as error:
                failure = failure or error
                for _, waiting in under_way:
                    waiting.cancel()
                under_way = deque(each for each in under_way if not each[1].cancelled())
    if failure is not None:
        raise failure


def _checked(model: ModelInfo, answer: PredictAnswer) -> PredictAnswer:
    if answer.model.version != model.version:
        raise ModelChangedError(
            f"the server went on from {model.name} {model.version} to {answer.model.name} "
            f"{answer.model.version}; run again, and what is missing is made with the new model"
        )
    return answer


def _batches(answers: Iterator[Answered]) -> Iterator[list[Answered]]:
    """Yield answers some at a time; what is there when an error occurs comes before the error."""
    batch: list[Answered] = []
    since = time.monotonic()
    try:
        for answer in answers:
            batch.append(answer)
            if len(batch) == STORED_AT_ONCE or time.monotonic() - since > STORED_EVERY_S:
                yield batch
                batch, since = [], time.monotonic()
    except Exception:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _store(run: Backfill, answered: Sequence[Answered]) -> list[FailedForecast]:
    """Store the forecasts of some answers and count them; return those that can't be stored."""
    rows: list[PredictionRow] = []
    failed: list[FailedForecast] = []
    reasons: list[str | None] = []
    for past_order, answer in answered:
        reason = past_order.without_events
        if reason is None and not answer.events_used:
            reason = "the server left them out"
        try:
            rows.append(build_row(past_order.order, answer, without_events=reason))
            reasons.append(reason)
        except ValueError as error:
            failed.append(FailedForecast.of(past_order.order.symbol, error))
    with run.database.connection() as connection:
        results = _written(connection, rows)
    for row, reason, result in zip(rows, reasons, results, strict=True):
        if isinstance(result, psycopg.Error):
            failed.append(FailedForecast.of(row.symbol, result))
        else:
            in_span = any(code_of(text) == WarningCode.IN_TRAINING_SPAN for text in row.warnings or ())
            run.count.add_forecast(row.symbol, reason, made=result, in_training_span=in_span)
    return failed


def _written(
    connection: psycopg.Connection[Any], rows: Sequence[PredictionRow]
) -> list[bool | psycopg.Error]:
    """Write rows together, or one by one if the database refuses one; return for each what came of it."""
    try:
        with connection.transaction():
            return list(insert_backfilled(connection, rows))
    except psycopg.OperationalError:
        raise  # the connection is lost, or another session holds a row: another try may succeed
    except psycopg.Error as error:
        if len(rows) == 1:
            return [error]
        return [result for row in rows for result in _written(connection, [row])]
