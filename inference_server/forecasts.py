"""From requests to answers: finds the candles, builds the jobs, runs them together, shapes the answers."""

import difflib
import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference_server import requests
from inference_server.bundle import Manifest
from inference_server.candle_store import CandleStore
from inference_server.candles import CandleError
from inference_server.engine import EngineError
from inference_server.errors import (
    DatabaseUnavailable,
    InvalidRequest,
    NoDatabase,
    ServiceError,
    UnknownSymbol,
)
from inference_server.inference import Inference
from inference_server.instants import parse_instant
from inference_server.instruments import Instrument, default_instruments
from inference_server.jobs import ForecastJob
from inference_server.requests import Window
from inference_server.responses import predict_answer, sliding_warning
from inference_server.schemas import Limits, ModelName, PredictAnswer, PredictRequest

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Sources:
    """What the database said: instruments, candles by symbol, and why there are none where it failed."""

    instruments: Mapping[str, Instrument]
    stored: Mapping[str, Window]
    failure: DatabaseUnavailable | None


@dataclass(frozen=True)
class _Prepared:
    """A request that is ready for the engine."""

    asked: PredictRequest
    job: ForecastJob
    warnings: list[str]


class Forecasts:
    """Answers requests, each by its symbol; one that fails leaves the others alone."""

    def __init__(self, inference: Inference, store: CandleStore, limits: Limits) -> None:
        self._inference = inference
        self._store = store
        self.limits = limits

    @property
    def manifest(self) -> Manifest:
        """The manifest of the bundle being served.

        Raises
        ------
        ModelNotReady
            While the model is being loaded.
        """
        return self._inference.engine.manifest

    async def answer(
        self, asked: Mapping[str, PredictRequest | ServiceError]
    ) -> dict[str, PredictAnswer | Exception]:
        """Return an answer or an error for each symbol, in the order asked.

        Parameters
        ----------
        asked
            Requests by symbol that differ in nothing but candles, times and events; an error stays one.

        Raises
        ------
        ModelNotReady
            While the model is being loaded.
        InvalidRequest
            If a setting that all of them share cannot be used.
        """
        manifest = self.manifest
        readable = [one for one in asked.values() if isinstance(one, PredictRequest)]
        if not readable:
            return {symbol: one for symbol, one in asked.items() if isinstance(one, ServiceError)}
        shared = readable[0]
        requests.check_limits(shared, self.limits, manifest.max_context)
        as_of = np.datetime64("now", "us") if shared.as_of is None else parse_instant(shared.as_of, "as_of")
        seed = requests.new_seed() if shared.seed is None else shared.seed
        sources = await self._sources(readable, as_of)

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
        return await self._forecast(outcomes, ModelName(name=manifest.name, version=manifest.version))

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
            return _Sources(instruments, {}, failure)
        return _Sources(instruments, stored, None)

    def _prepared(
        self, asked: PredictRequest, sources: _Sources, as_of: np.datetime64, seed: int, manifest: Manifest
    ) -> _Prepared:
        instrument = sources.instruments.get(asked.symbol)
        warnings: list[str] = []
        if asked.candles is None:
            given = _stored_window(asked, sources)
            window = requests.without_gaps(requests.usable(given, asked, instrument, as_of, self.limits))
        else:
            given = requests.inline_window(asked.candles)
            window = requests.usable(given, asked, instrument, as_of, self.limits)
            still_open = int((given.timestamps > window.timestamps[-1]).sum())
            if still_open:
                warnings.append(
                    f"{still_open} of the candles given had not closed by as_of and were left out"
                )
        future = requests.future_of(asked, window, instrument)
        events: NDArray[np.float32] | None = None
        if asked.events is not None:
            requests.check_event_schema(asked, manifest.event_schema if manifest.has_events else None)
            events = requests.event_array(asked.events, len(window), asked.pred_len)
            if not manifest.has_events:
                events = None
                warnings.append("this bundle has no EventEncoder: the forecast was made without the events")
        sliding = sliding_warning(len(window), asked.pred_len, manifest.max_context, asked.context_stride)
        if sliding is not None:
            warnings.append(sliding)
        return _Prepared(asked, requests.forecast_job(asked, window, future, events, seed), warnings)

    async def _forecast(
        self, outcomes: Mapping[str, _Prepared | Exception], model: ModelName
    ) -> dict[str, PredictAnswer | Exception]:
        """Run all prepared requests as one call to the engine."""
        ready = {symbol: one for symbol, one in outcomes.items() if isinstance(one, _Prepared)}
        made = await self._inference.forecast([one.job for one in ready.values()]) if ready else []
        paths = dict(zip(ready, made, strict=True))
        answers: dict[str, PredictAnswer | Exception] = {}
        for symbol, outcome in outcomes.items():
            answers[symbol] = (
                _answered(outcome, paths[symbol], model) if isinstance(outcome, _Prepared) else outcome
            )
        return answers


def _answered(
    prepared: _Prepared, paths: NDArray[np.float32] | EngineError, model: ModelName
) -> PredictAnswer | Exception:
    if isinstance(paths, EngineError):
        return InvalidRequest(str(paths))
    try:
        return predict_answer(prepared.asked, prepared.job, paths, model, prepared.warnings)
    except ArithmeticError as error:
        log.error("%s", error)
        return error


def _stored_window(asked: PredictRequest, sources: _Sources) -> Window:
    """Return a symbol's candles from the database, or say which part of "unknown" it is."""
    # With no database at all the packaged instruments are all there are; with a dead one nobody can tell.
    unknown = asked.symbol not in sources.instruments
    if sources.failure is not None and not (unknown and isinstance(sources.failure, NoDatabase)):
        raise sources.failure
    if unknown:
        alike = difflib.get_close_matches(asked.symbol, sources.instruments, n=3)
        raise UnknownSymbol(
            f"{asked.symbol} is no registered symbol: register it in the table instruments, "
            "or send candles and future_timestamps",
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
