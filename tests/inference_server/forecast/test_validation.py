"""Checks of settings against the limits of the server and its bundle."""

from typing import Any

import pytest

from inference_server.errors import BeyondLimit, InvalidEvents
from inference_server.forecast.validation import check_event_schema, check_limits
from inference_server.schemas import ForecastSettings
from inference_server.settings import Settings

LIMITS = Settings.from_environment({"KRONOS_BUNDLE": "b"}).limits


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pred_len": 513}, "pred_len is 513; expected 1 … 512"),
        ({"sample_count": 257}, "sample_count is 257; expected 1 … 256"),
        ({"lookback": 31}, "lookback is 31; expected 32 … 4096"),
        ({"lookback": 5000}, "lookback is 5000; expected 32 … 4096"),
        ({"context_stride": 2048}, "context_stride is 2048; expected 1 … 2047"),
    ],
)
def test_limits_name_field_and_range(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(BeyondLimit, match=message):
        check_limits(ForecastSettings(**fields), LIMITS, max_context=2048)


def test_pred_len_is_limited_by_the_context_too() -> None:
    check_limits(ForecastSettings(pred_len=64), LIMITS, max_context=64)
    with pytest.raises(BeyondLimit, match="expected 1 … 64"):
        check_limits(ForecastSettings(pred_len=65), LIMITS, max_context=64)


@pytest.mark.parametrize(("built", "bundle"), [(None, 1), (1, 1), (2, None)])
def test_event_schemas_that_fit(built: int | None, bundle: int | None) -> None:
    check_event_schema(ForecastSettings(event_schema=built), bundle)


def test_another_event_schema_is_refused() -> None:
    with pytest.raises(InvalidEvents, match=r"schema version 2 .* reads version 1"):
        check_event_schema(ForecastSettings(event_schema=2), 1)
