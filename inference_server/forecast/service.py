"""From requests to answers: finds the candles, builds the jobs, runs them together, shapes the answers."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from inference_server.engine.bundle import Manifest
from inference_server.engine.calls import Outcome, Result
from inference_server.engine.jobs import ForecastJob
from inference_server.engine.model import EngineError
from inference_server.engine.scheduler import Scheduler
from inference_server.errors import (
    DatabaseUnavailable,
    InvalidRequest,
    NoDatabase,
    ServiceError,
    UnknownSymbol,
)
from inference_server.forecast import windows as requests
from inference_server.forecast.answer_size import answer_values, check_answer_size, is_large_answer
from inference_server.forecast.answers import predict_answer, sliding_warning
from inference_server.forecast.candle_store import CandleStore
from inference_server.forecast.input_warnings import (
    clip_warnings,
    clock_warnings,
    sampling_warnings,
    scale_warnings,
)
from inference_server.forecast.instants import parse_instant
from inference_server.forecast.large_work import LargeWork
from inference_server.forecast.result_cache import ResultCache, job_key
from inference_server.forecast.statistics_answer import check_levels, check_prices
from inference_server.forecast.windows import Window
from inference_server.schemas import Limits, ModelName, PredictAnswer, PredictRequest
from market.candle_warnings import UsedCandles, candle_warnings
from market.candles import FEATURES, CandleError
from market.envelope import lowest_price
from market.instruments import Instrument, default_instruments
from market.similar_symbols import did_you_mean, similar_symbols
from market.types import Float32Array
from market.warning_codes import WarningCode, warning

log = logging.getLogger(__name__)

LARGE_WINDOWS = 1024
"""Candles, of all symbols together, from which on their windows are prepared beside the event loop."""


@dataclass(frozen=True)
class _Sources:
    """What the database said: instruments, candles by symbol, and why there are none where it failed.

    `at_hand` are instruments for warnings, which must not depend on whether the database answers.
    """

    instruments: Mapping[str, Instrument]
    at_hand: Mapping[str, Instrument]
    stored: Mapping[str, Window]
    failure: DatabaseUnavailable | None


@dataclass(frozen=True)
class Answered:
    """An answer and how it came about, for the headers; see `Outcome`."""

    answer: PredictAnswer
    queue_s: float
    inference_s: float
    batch_size: int


@dataclass(frozen=True)
class _Prepared:
    """A request that is ready for the engine."""

    asked: PredictRequest
    job: ForecastJob
    warnings: list[str]
    allow_nonpositive: bool = False


class Forecasts:
    """Answers requests, each by its symbol; one that fails leaves the others alone."""

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

    async def answer(
        self, asked: Mapping[str, PredictRequest | ServiceError], timeout_s: float
    ) -> dict[str, Answered | Exception]:
        """Return an answer or an error for each symbol, in the order asked.

        Parameters
        ----------
        asked
            Requests by symbol that differ in nothing but candles, times, events and the prices of
            probabilities; an error stays one.
        timeout_s
            Seconds in which the forecasts must be done.

        Raises
        ------
        ModelNotReady, Draining, QueueFull, DeadlineExceeded
            See `Scheduler.forecast`.
        BeyondLimit
            If a setting, or the answer to all of them, is larger than this server takes.
        InvalidRequest
            If a setting that all of them share cannot be used.
        """
        manifest = self.manifest
        readable = [one for one in asked.values() if isinstance(one, PredictRequest)]
        if not readable:
            return {symbol: one for symbol, one in asked.items() if isinstance(one, ServiceError)}
        shared = readable[0]
        requests.check_limits(shared, self.limits, manifest.max_context)
        check_levels(shared)
        largest = max(readable, key=lambda one: answer_values(one, 1))
        check_answer_size(largest, len(readable), self.limits)
        as_of = np.datetime64("now", "us") if shared.as_of is None else parse_instant(shared.as_of, "as_of")
        seed = requests.new_seed() if shared.seed is None else shared.seed
        sources = await self._sources(readable, as_of)

        def prepare() -> dict[str, _Prepared | Exception]:
            outcomes: dict[str, _Prepared | Exception] = {}
            for symbol, one in asked.items():
                try:
                    outcomes[symbol] = (
                        one
                        if isinstance(one, ServiceError)
                        else self._prepared(one, sources, as_of, seed, manifest)
                    )
                except (ServiceError, CandleError) as error:
                    outcomes[symbol] = error
            return outcomes

        candles = sum(one.lookback if one.candles is None else len(one.candles.timestamp) for one in readable)
        outcomes = await self.large_work.run(prepare, large=candles > LARGE_WINDOWS)
        return await self._forecast(outcomes, timeout_s, large=is_large_answer(largest, len(readable)))

    async def _sources(self, asked: list[PredictRequest], as_of: np.datetime64) -> _Sources:
        """Read what the requests need of the database; candles of all symbols in one query."""
        instruments: Mapping[str, Instrument] = default_instruments()
        wanted = [one.symbol for one in asked if one.candles is None]
        try:
            if wanted or any(one.future_timestamps is None for one in asked):
                instruments = await self._store.instruments()
            known = [symbol for symbol in wanted if symbol in instruments]
            stored = (
                await self._store.latest(known, asked[0].timeframe, asked[0].lookback, as_of) if known else {}
            )
        except DatabaseUnavailable as failure:
            return _Sources(instruments, self._store.instruments_at_hand(), {}, failure)
        return _Sources(instruments, self._store.instruments_at_hand(), stored, None)

    def _prepared(
        self, asked: PredictRequest, sources: _Sources, as_of: np.datetime64, seed: int, manifest: Manifest
    ) -> _Prepared:
        instrument = sources.instruments.get(asked.symbol)
        warnings: list[str] = []
        stored = asked.candles is None
        given = (
            _stored_window(asked, sources) if asked.candles is None else requests.inline_window(asked.candles)
        )
        used = requests.usable(given, asked, instrument, as_of, self.limits)
        window = requests.without_gaps(used)
        allow_nonpositive = requests.can_be_nonpositive(asked, instrument)
        prices = window.features[:, : FEATURES.index("close") + 1]
        check_prices(asked, lowest_price(prices, allow_nonpositive=allow_nonpositive))
        if not stored:
            still_open = int((given.timestamps > window.timestamps[-1]).sum())
            if still_open:
                text = f"{still_open} of the candles given had not closed by as_of and were left out"
                warnings.append(warning(WarningCode.CANDLES_NOT_CLOSED, text))
        future = requests.future_of(asked, window, instrument, sources.instruments)
        known = sources.at_hand.get(asked.symbol, instrument)
        odd = UsedCandles(asked.symbol, asked.timeframe, used.features, used.timestamps, future, known)
        warnings += candle_warnings(odd, as_of if stored else None)
        events: Float32Array | None = None
        if asked.events is not None:
            requests.check_event_schema(asked, manifest.event_schema if manifest.has_events else None)
            events = requests.event_array(asked.events, len(window), asked.pred_len)
            if not manifest.has_events:
                events = None
                text = "this bundle has no EventEncoder: the forecast was made without the events"
                warnings.append(warning(WarningCode.EVENTS_NOT_USED, text))
        zone = requests.model_clock(asked, instrument)
        warnings += clock_warnings(manifest.model_clock, zone, known, window.timestamps, asked.time_zone)
        warnings += scale_warnings(window.features, asked.upstream_scale)
        warnings += clip_warnings(window.features, asked.upstream_scale)
        warnings += sampling_warnings(asked)
        sliding = sliding_warning(len(window), asked.pred_len, manifest.max_context, asked.context_stride)
        if sliding is not None:
            warnings.append(sliding)
        job = requests.forecast_job(asked, window, future, events, seed, zone)
        return _Prepared(asked, job, warnings, allow_nonpositive)

    async def _forecast(
        self, outcomes: Mapping[str, _Prepared | Exception], timeout_s: float, *, large: bool
    ) -> dict[str, Answered | Exception]:
        """Run all prepared requests as one call to the scheduler."""
        ready = {symbol: one for symbol, one in outcomes.items() if isinstance(one, _Prepared)}
        results = await self._results(list(ready.values()), timeout_s) if ready else []
        paths = dict(zip(ready, results, strict=True))

        def build() -> dict[str, Answered | Exception]:
            return {
                symbol: _answered(outcome, paths[symbol]) if isinstance(outcome, _Prepared) else outcome
                for symbol, outcome in outcomes.items()
            }

        return await self.large_work.run(build, large=large)

    async def _results(self, prepared: list[_Prepared], timeout_s: float) -> list[Result]:
        """Run jobs, except for those whose outcome is kept; keep those that have a seed of the caller's."""
        version = self.manifest.version
        keys = [
            job_key(version, one.job) if self._cache.size and one.asked.seed is not None else None
            for one in prepared
        ]
        results: list[Result | None] = [None if key is None else self._cache.get(key) for key in keys]
        missing = [i for i, result in enumerate(results) if result is None]
        if missing:
            made = await self._scheduler.forecast([prepared[i].job for i in missing], timeout_s)
            for i, result in zip(missing, made, strict=True):
                results[i] = result
                key = keys[i]
                if key is not None and isinstance(result, Outcome):
                    self._cache.put(key, replace(result, queue_s=0.0, inference_s=0.0, batch_size=0))
        return [result for result in results if result is not None]


def _answered(prepared: _Prepared, result: Result) -> Answered | Exception:
    if isinstance(result, EngineError):
        return InvalidRequest(str(result))
    model = ModelName(name=result.manifest.name, version=result.manifest.version)
    try:
        answer = predict_answer(
            prepared.asked,
            prepared.job,
            result.paths,
            model,
            prepared.warnings,
            allow_nonpositive=prepared.allow_nonpositive,
        )
    except ArithmeticError as error:
        log.error("%s", error)
        return error
    return Answered(answer, result.queue_s, result.inference_s, result.batch_size)


def _stored_window(asked: PredictRequest, sources: _Sources) -> Window:
    """Return a symbol's candles from the database, or say which part of "unknown" it is."""
    # With no database at all the packaged instruments are all there are; with a dead one nobody can tell.
    unknown = asked.symbol not in sources.instruments
    if sources.failure is not None and not (unknown and isinstance(sources.failure, NoDatabase)):
        raise sources.failure
    if unknown:
        alike = similar_symbols(asked.symbol, sources.instruments)
        raise UnknownSymbol(
            f"{asked.symbol} is no registered symbol: register it in the table instruments, "
            f"or send candles and future_timestamps{did_you_mean(asked.symbol, sources.instruments)}",
            given=asked.symbol,
            expected=f"a registered symbol, such as {', '.join(alike)}" if alike else "a registered symbol",
        )
    if asked.symbol not in sources.stored:
        raise UnknownSymbol(
            f"the database holds no {asked.timeframe} candles of {asked.symbol} before as_of: load some, "
            "or send candles",
            given=asked.symbol,
            expected="a symbol with candles",
        )
    return sources.stored[asked.symbol]
