"""Forecasts of candles that the model was trained on."""

from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest

from flows.forecasting.training_span import TrainingSpan, span_warnings, training_span
from market.warning_codes import WarningCode, code_of
from tests.flows.forecasting.test_lookback import window
from tests.helpers.stand_in_server import MODEL

WINDOW = window(np.linspace(100.0, 110.0, 40))  # of December 2024
FUTURE = WINDOW.future_timestamps


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_the_span_of_a_manifest() -> None:
    assert training_span(MODEL) is None
    recorded = {"first": "2012-05-17T05:00:00Z", "last": "2021-12-31T23:00:00Z"}
    span = training_span(msgspec.structs.replace(MODEL, manifest={"training_span": recorded}))
    assert span == TrainingSpan(day("2012-05-17T05:00"), day("2021-12-31T23:00"))


@pytest.mark.parametrize(
    ("first", "last", "inside"),
    [
        ("2012-01-01", "2024-12-01", False),
        ("2012-01-01", "2025-01-01", True),
        ("2024-12-02T16:00", "2025-01-01", True),  # the first candle forecast
        ("2012-01-01", "2024-12-02T16:00", True),
        ("2012-01-01", "2024-12-02T15:00", False),  # the last candle used alone
        ("2024-12-02T18:00", "2025-01-01", True),  # the last candle forecast
        ("2024-12-02T19:00", "2025-01-01", False),
    ],
)
def test_a_forecast_of_candles_in_the_span_has_a_warning(first: str, last: str, inside: bool) -> None:
    found = span_warnings(TrainingSpan(day(first), day(last)), WINDOW)
    assert [code_of(text) for text in found] == ([WarningCode.IN_TRAINING_SPAN] if inside else [])


def test_without_a_span_there_is_no_warning() -> None:
    assert span_warnings(None, replace(WINDOW, late=True)) == ()
