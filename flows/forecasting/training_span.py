"""Compares forecasts with the candles that the model was trained on."""

from datetime import datetime
from typing import NamedTuple

import msgspec

from flows.forecasting.candles import CandleWindow
from inference_server.schemas import ModelInfo
from market.times import in_utc, instant
from market.warning_codes import WarningCode, warning


class TrainingSpan(NamedTuple):
    """The first and the last candle that a model was trained or validated on, aware."""

    first: datetime
    last: datetime

    def __str__(self) -> str:
        return f"{self.first:%Y-%m-%d} to {self.last:%Y-%m-%d}"


class _Recorded(msgspec.Struct):
    first: datetime
    last: datetime


def training_span(model: ModelInfo) -> TrainingSpan | None:
    """Return the training span in a bundle's manifest; None where it has none."""
    recorded = model.manifest.get("training_span")
    if recorded is None:
        return None
    span = msgspec.convert(recorded, _Recorded)
    return TrainingSpan(in_utc(span.first), in_utc(span.last))


def span_warnings(span: TrainingSpan | None, window: CandleWindow) -> tuple[str, ...]:
    """Return a warning if candles that a forecast is of lie within the training span of its model."""
    future = window.future_timestamps
    if span is None or not (future[0] <= instant(span.last) and future[-1] >= instant(span.first)):
        return ()
    text = (
        f"the model was trained on candles of {span}, and this forecast is of candles in that time: its "
        "error does not tell how large the error on new candles is"
    )
    return (warning(WarningCode.IN_TRAINING_SPAN, text),)
