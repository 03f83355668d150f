"""Prepares a request for the engine: its window, event array and warnings, without database or HTTP."""

import secrets
from dataclasses import dataclass

import msgspec
import numpy as np
from msgspec import UNSET

from inference_server.engine.bundle import Manifest
from inference_server.engine.jobs import ForecastJob
from inference_server.errors import InvalidRequest
from inference_server.forecast.event_arrays import parse_events
from inference_server.forecast.input_warnings import (
    clip_warnings,
    clock_warnings,
    sampling_warnings,
    scale_warnings,
    sliding_warnings,
    timeframe_warnings,
)
from inference_server.forecast.sources import Sources
from inference_server.forecast.validation import check_event_schema, check_prices
from inference_server.forecast.windows import (
    Window,
    closed_window,
    parse_candles,
    timestamps_to_forecast,
    without_gaps,
)
from inference_server.schemas import ForecastSettings, Limits, PredictRequest
from market.candle_warnings import UsedCandles, candle_warnings
from market.candles import FEATURES
from market.envelope import lowest_price
from market.instruments import Instrument
from market.time_features import known_time_zones
from market.types import DatetimeArray, Float32Array
from market.warning_codes import WarningCode, warning


@dataclass(frozen=True)
class Prepared:
    """A request with the engine's job for it and the warnings of its answer.

    Attributes
    ----------
    allow_nonpositive
        Whether the price can be zero or below.
    """

    request: PredictRequest
    job: ForecastJob
    warnings: list[str]
    allow_nonpositive: bool = False


def prepare(
    request: PredictRequest,
    sources: Sources,
    as_of: np.datetime64,
    seed: int,
    manifest: Manifest,
    limits: Limits,
) -> Prepared:
    """Return a request that is ready for the engine.

    Raises
    ------
    ServiceError, CandleError
        If its symbol, candles, times, events or prices cannot be used.
    """
    instrument = sources.instruments.get(request.symbol)
    if request.candles is None:
        candles = sources.stored_candles(request)
        request = msgspec.structs.replace(request, symbol=sources.symbol_of(request))
    else:
        candles = parse_candles(request.candles)
    closed = closed_window(candles, request, instrument, as_of, limits)
    window = without_gaps(closed)
    allow_nonpositive = can_be_nonpositive(request, instrument)
    prices = window.features[:, : FEATURES.index("close") + 1]
    check_prices(request, lowest_price(prices, allow_nonpositive=allow_nonpositive))
    future = timestamps_to_forecast(request, window, instrument, sources.instruments)
    warnings = _candle_warnings(request, candles, closed, future, sources, as_of)
    events = _events(request, len(window), manifest)
    if request.events is not None and events is None:
        text = "this bundle has no EventEncoder: the forecast was made without the events"
        warnings.append(warning(WarningCode.EVENTS_NOT_USED, text))
    zone = model_clock(request, instrument)
    at_hand = sources.at_hand.get(request.symbol, instrument)
    warnings += clock_warnings(manifest.model_clock, zone, at_hand, window.timestamps, request.time_zone)
    warnings += timeframe_warnings(manifest.training_timeframes, request.timeframe)
    warnings += scale_warnings(window.features, request.upstream_scale)
    warnings += clip_warnings(window.features, request.upstream_scale)
    warnings += sampling_warnings(request)
    warnings += sliding_warnings(len(window), request.pred_len, manifest.max_context, request.context_stride)
    job = forecast_job(request, window, future, events, seed, zone)
    return Prepared(request, job, warnings, allow_nonpositive)


def new_seed() -> int:
    """Return a random seed that any JSON reader represents exactly (below 2**53)."""
    return secrets.randbelow(2**53)


def can_be_nonpositive(settings: ForecastSettings, instrument: Instrument | None) -> bool:
    """Return whether the price can be zero or below: the request's choice, or the instrument's, or False."""
    if settings.allow_nonpositive is not UNSET:
        return settings.allow_nonpositive
    return instrument is not None and instrument.allow_nonpositive


def model_clock(settings: ForecastSettings, instrument: Instrument | None) -> str:
    """Return the zone of the model's time fields: the request's, or the instrument's, or UTC.

    Raises
    ------
    InvalidRequest
        If there is no zone of that name on this machine.
    """
    zone = settings.time_zone
    if zone is None:
        zone = "UTC" if instrument is None else instrument.model_time_zone
    if zone not in known_time_zones():
        source = "time_zone" if settings.time_zone is not None else "the instrument's model_time_zone"
        raise InvalidRequest(
            f"{source} is {zone!r}, which is no time zone",
            given=zone,
            expected="an IANA name such as UTC or Asia/Shanghai",
        )
    return zone


def forecast_job(
    request: PredictRequest,
    window: Window,
    future: DatetimeArray,
    events: Float32Array | None,
    seed: int,
    time_zone: str = "UTC",
) -> ForecastJob:
    """Return the engine's job for a request whose parts have been checked."""
    return ForecastJob(
        candles=window.features,
        timestamps=window.timestamps,
        future_timestamps=future,
        sample_count=request.sample_count,
        temperature=request.temperature,
        top_k=request.top_k,
        top_p=request.top_p,
        seed=seed,
        context_stride=request.context_stride,
        events=events,
        time_zone=time_zone,
        upstream_scale=request.upstream_scale,
    )


def _candle_warnings(
    request: PredictRequest,
    candles: Window,
    closed: Window,
    future: DatetimeArray,
    sources: Sources,
    as_of: np.datetime64,
) -> list[str]:
    """Return the warnings about a request's candles, of which `closed` are used."""
    warnings = []
    stored = request.candles is None
    still_open = int((candles.timestamps > closed.timestamps[-1]).sum())
    if still_open and not stored:
        text = f"{still_open} of the candles given had not closed by as_of and were left out"
        warnings.append(warning(WarningCode.CANDLES_NOT_CLOSED, text))
    instrument = sources.at_hand.get(request.symbol, sources.instruments.get(request.symbol))
    used = UsedCandles(
        request.symbol,
        request.timeframe,
        closed.features,
        closed.timestamps,
        future,
        instrument,
        allow_nonpositive=request.allow_nonpositive is True,
    )
    warnings += candle_warnings(used, as_of if stored else None)
    return warnings + (closed.missing.warnings() if closed.missing is not None else [])


def _events(request: PredictRequest, rows: int, manifest: Manifest) -> Float32Array | None:
    """Return the event array of a request, or None if it has none or the bundle reads none."""
    if request.events is None:
        return None
    check_event_schema(request, manifest.event_schema if manifest.has_events else None)
    events = parse_events(request.events, rows, request.pred_len)
    return events if manifest.has_events else None
