"""Builds one symbol's request from its window and events, and its row from the answer."""

from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
import numpy as np
from msgspec import UNSET

from flows.forecasting.candles import CandleWindow, epoch_ms
from flows.forecasting.path_statistics import WantedStatistics, request_fields, undefined_warnings
from flows.forecasting.seeds import forecast_seed
from flows.forecasting.store import PredictionRow
from flows.scoring.calibration import Calibration, calibrate
from inference_server.schemas import PredictAnswer, PredictRequest, Statistics
from market.event_channels import EVENT_SCHEMA
from market.timeframes import Timeframe
from market.types import Float32Array
from market.warning_codes import WarningCode, code_of, warning

LONGEST_LOOKBACK = 512


@dataclass(frozen=True)
class SamplingSettings:
    """How the sample paths of a run are drawn; with `seed` None each symbol has a hash as its seed."""

    timeframe: Timeframe
    pred_len: int
    sample_count: int
    top_p: float
    temperature: float
    top_k: int
    seed: int | None


@dataclass(frozen=True)
class Order:
    """Everything that one symbol's request and row are built from.

    Attributes
    ----------
    events
        (T + pred_len, 20) float32, or None for a forecast without events.
    event_context
        Summary of the events, stored in the row if the server used them.
    calibration
        How the calibrated envelope is widened; None if no calibration is learned yet.
    store_samples
        Whether the row keeps the close of every sample path.
    warnings
        Warnings about the window and the events, each beginning with its code.
    fingerprint
        Hash of everything the forecast depends on; None if a stored forecast never counts as the same.
    statistics
        Statistics of the sample paths that the row has beside the envelope.
    """

    symbol: str
    window: CandleWindow
    sampling: SamplingSettings
    model_version: str
    events: Float32Array | None = field(default=None, repr=False)
    event_context: dict[str, Any] | None = None
    calibration: Calibration | None = field(default=None, repr=False)
    store_samples: bool = False
    warnings: tuple[str, ...] = ()
    fingerprint: str | None = None
    statistics: WantedStatistics = field(default_factory=WantedStatistics)


def usable_lookback(lookback: int | None, pred_len: int, max_context: int, min_candles: int) -> int:
    """Return the lookback of a run; by default the longest at which the context never slides, at most 512.

    Raises
    ------
    ValueError
        The lookback, or what `pred_len` leaves of the context, is less than `min_candles`.
    """
    if lookback is not None and lookback < min_candles:
        raise ValueError(
            f"lookback {lookback} given; the model forecasts from at least {min_candles} candles"
        )
    longest = min(LONGEST_LOOKBACK, max_context - pred_len)
    if lookback is None and longest < min_candles:
        raise ValueError(
            f"pred_len {pred_len} leaves {max(longest, 0)} of the model's {max_context} candles for a past; "
            f"expected a pred_len of at most {max_context - min_candles}, or a lookback: the context "
            "then slides, which is slow"
        )
    return longest if lookback is None else lookback


def build_request(order: Order) -> PredictRequest:
    """Return the request of one symbol, with candles and future timestamps; the client adds the events."""
    sampling, window = order.sampling, order.window
    seed = sampling.seed
    if seed is None:
        seed = forecast_seed(order.symbol, sampling.timeframe, window.as_of, order.model_version)
    return PredictRequest(
        symbol=order.symbol,
        timeframe=sampling.timeframe,
        pred_len=sampling.pred_len,
        sample_count=sampling.sample_count,
        top_p=sampling.top_p,
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        lookback=len(window.timestamps),
        seed=seed,
        return_samples=order.store_samples,
        event_schema=EVENT_SCHEMA if order.events is not None else None,
        time_zone=window.instrument.model_time_zone,
        # The server has the packaged instruments, and does not read those of this run's database.
        allow_nonpositive=True if window.instrument.allow_nonpositive else UNSET,
        candles=window.request_candles(),
        future_timestamps=epoch_ms(window.future_timestamps),
        **request_fields(order.statistics, window.last_close),
    )


def build_row(
    order: Order, answer: PredictAnswer, *, late: bool = False, without_events: str | None = None
) -> PredictionRow:
    """Return the row of one forecast: the answer's envelope, calibrated where possible, and its warnings.

    Parameters
    ----------
    late
        Whether newer candles had closed that the database does not have.
    without_events
        Why the forecast was made without events, if it was.

    Raises
    ------
    ValueError
        If the row keeps sample paths and the answer has none.
    """
    if order.store_samples and answer.samples is None:
        raise ValueError("the server answered without sample paths; is it of this version?")
    bands = [np.array(band) for band in (answer.p10, answer.p50, answer.p90)]
    can_be_negative = order.window.instrument.allow_nonpositive
    calibrated = (
        None
        if order.calibration is None
        else calibrate(order.calibration, *bands, allow_nonpositive=can_be_negative)
    )
    warnings = [
        *order.warnings,
        *answer.warnings,
        *undefined_warnings(order.statistics, order.window.last_close),
    ]
    if late:
        text = "newer candles had closed when this was made, and were not in the database"
        warnings.append(warning(WarningCode.CANDLES_LATE, text))
    if without_events is not None and not any(
        code_of(text) == WarningCode.EVENTS_NOT_USED for text in warnings
    ):
        warnings.append(warning(WarningCode.EVENTS_NOT_USED, without_events))
    statistics = answer.statistics if isinstance(answer.statistics, Statistics) else None
    # Without a fingerprint the next run asks again for events or statistics that the server left out.
    as_planned = (answer.events_used or order.events is None) and bool(order.statistics) == bool(statistics)
    return PredictionRow(
        symbol=order.symbol,
        timeframe=order.sampling.timeframe,
        as_of=order.window.as_of,
        model_name=answer.model.name,
        model_version=answer.model.version,
        pred_len=order.sampling.pred_len,
        timestamps=answer.timestamps,
        p10=answer.p10,
        p50=answer.p50,
        p90=answer.p90,
        seed=answer.seed,
        event_context=order.event_context if answer.events_used else None,
        p10_calibrated=None if calibrated is None else calibrated[0].tolist(),
        p90_calibrated=None if calibrated is None else calibrated[1].tolist(),
        samples=cast("list[list[float]] | None", answer.samples) if order.store_samples else None,
        warnings=list(dict.fromkeys(warnings)) or None,
        fingerprint=order.fingerprint if as_planned else None,
        statistics=None if statistics is None else msgspec.to_builtins(statistics),
    )
