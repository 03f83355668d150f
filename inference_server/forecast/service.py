"""Answers forecast requests: reads candles, prepares jobs, runs them in the engine and builds the answers."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from inference_server.engine.bundle import Manifest
from inference_server.engine.calls import GeneratedPaths, Result
from inference_server.engine.model import EngineError
from inference_server.engine.scheduler import Scheduler
from inference_server.errors import InvalidRequest, ServiceError
from inference_server.forecast.answer_size import answer_values, is_large_answer
from inference_server.forecast.answers import predict_answer
from inference_server.forecast.candle_store import CandleStore
from inference_server.forecast.instants import parse_instant
from inference_server.forecast.large_work import LargeWork
from inference_server.forecast.preparation import Prepared, new_seed, prepare
from inference_server.forecast.result_cache import ResultCache, job_key
from inference_server.forecast.sources import read_sources
from inference_server.forecast.validation import check_answer_size, check_levels, check_limits
from inference_server.schemas import Limits, ModelName, PredictAnswer, PredictRequest
from market.candles import CandleError

log = logging.getLogger(__name__)

T = TypeVar("T")

LARGE_WINDOWS = 1024
"""Candles of all symbols together; more are prepared in a thread beside the event loop."""


@dataclass(frozen=True)
class TimedAnswer:
    """An answer with the times and the batch size that its headers name; see `GeneratedPaths`."""

    answer: PredictAnswer
    queue_s: float
    inference_s: float
    batch_size: int


@dataclass(frozen=True)
class Answers:
    """Answers by symbol, and the errors of the symbols that have none."""

    answers: dict[str, TimedAnswer]
    failures: dict[str, Exception]


class Forecasts:
    """Answers requests by symbol; the failure of one symbol does not affect the others."""

    def __init__(self, scheduler: Scheduler, store: CandleStore, limits: Limits, cache: ResultCache) -> None:
        self._scheduler = scheduler
        self._store = store
        self._cache = cache
        self.limits = limits
        self.large_work = LargeWork()

    @property
    def manifest(self) -> Manifest:
        """The manifest of the bundle being served.

        Raises
        ------
        ModelNotReady
            While the model is being loaded.
        """
        return self._scheduler.engine.manifest

    async def answer(self, requests: Mapping[str, PredictRequest], timeout_s: float) -> Answers:
        """Return an answer or an error for each symbol.

        Parameters
        ----------
        requests
            By symbol; they differ only in candles, times, events and the prices of probabilities.
        timeout_s
            Seconds in which the forecasts must be done.

        Raises
        ------
        ModelNotReady, Draining, QueueFull, DeadlineExceeded
            See `Scheduler.forecast`.
        BeyondLimit
            If a setting, or the size of the whole answer, is above a limit of this server.
        InvalidRequest
            If a setting that all requests share cannot be used.
        """
        manifest = self.manifest
        if not requests:
            return Answers({}, {})
        settings = next(iter(requests.values()))
        largest = max(requests.values(), key=lambda request: answer_values(request, symbols=1))
        check_limits(settings, self.limits, manifest.max_context)
        check_levels(settings)
        check_answer_size(largest, len(requests), self.limits)
        as_of = (
            np.datetime64("now", "us") if settings.as_of is None else parse_instant(settings.as_of, "as_of")
        )
        seed = new_seed() if settings.seed is None else settings.seed
        sources = await read_sources(self._store, list(requests.values()), as_of)
        failures: dict[str, Exception] = {}

        def prepare_one(symbol: str) -> Prepared:
            return prepare(requests[symbol], sources, as_of, seed, manifest, self.limits)

        prepared = await self.large_work.run(
            lambda: _for_each(requests, prepare_one, failures),
            large=sum(map(_candle_count, requests.values())) > LARGE_WINDOWS,
        )
        results = await self._run(prepared, timeout_s)
        answers = await self.large_work.run(
            lambda: _for_each(prepared, lambda symbol: _answer(prepared[symbol], results[symbol]), failures),
            large=is_large_answer(largest, len(requests)),
        )
        return Answers(answers, failures)

    async def answer_one(self, request: PredictRequest, timeout_s: float) -> TimedAnswer:
        """Return the answer to one request, or raise its error; see `answer`."""
        result = await self.answer({request.symbol: request}, timeout_s)
        for error in result.failures.values():
            raise error
        return result.answers[request.symbol]

    async def _run(self, prepared: Mapping[str, Prepared], timeout_s: float) -> dict[str, Result]:
        """Run the jobs whose results are not cached, all in one call to the scheduler."""
        keys = {symbol: self._cache_key(item) for symbol, item in prepared.items()}
        results: dict[str, Result] = {}
        for symbol, key in keys.items():
            if key is not None and (cached := self._cache.get(key)) is not None:
                results[symbol] = cached
        jobs = {symbol: item.job for symbol, item in prepared.items() if symbol not in results}
        if not jobs:
            return results
        outcomes = await self._scheduler.forecast(list(jobs.values()), timeout_s)
        for symbol, outcome in zip(jobs, outcomes, strict=True):
            results[symbol] = outcome
            key = keys[symbol]
            if key is not None and isinstance(outcome, GeneratedPaths):
                self._cache.put(key, replace(outcome, queue_s=0.0, inference_s=0.0, batch_size=0))
        return results

    def _cache_key(self, prepared: Prepared) -> bytes | None:
        """Return the cache's key of a request with a seed, or None where nothing is cached."""
        if not self._cache.size or prepared.request.seed is None:
            return None
        return job_key(self.manifest.version, prepared.job)


def _for_each(
    symbols: Iterable[str], step: Callable[[str], T], failures: dict[str, Exception]
) -> dict[str, T]:
    """Return the result of a step for each symbol; the error of a symbol is added to `failures` instead."""
    results: dict[str, T] = {}
    for symbol in symbols:
        try:
            results[symbol] = step(symbol)
        except (ServiceError, CandleError) as error:
            failures[symbol] = error
        except ArithmeticError as error:
            log.error("%s", error)
            failures[symbol] = error
    return results


def _answer(prepared: Prepared, result: Result) -> TimedAnswer:
    """Return the answer that the engine's result gives.

    Raises
    ------
    InvalidRequest
        If the engine refused the job.
    ArithmeticError
        If the model made a value that is not finite.
    """
    if isinstance(result, EngineError):
        raise InvalidRequest(str(result))
    answer = predict_answer(
        prepared.request,
        prepared.job,
        result.paths,
        ModelName(name=result.manifest.name, version=result.manifest.version),
        prepared.warnings,
        allow_nonpositive=prepared.allow_nonpositive,
    )
    return TimedAnswer(answer, result.queue_s, result.inference_s, result.batch_size)


def _candle_count(request: PredictRequest) -> int:
    return request.lookback if request.candles is None else len(request.candles.timestamp)
