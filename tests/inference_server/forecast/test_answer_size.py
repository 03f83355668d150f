"""The numbers that an answer will hold, and the refusal of more than one answer may."""

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_server.errors import BeyondLimit
from inference_server.forecast.answer_size import answer_values
from inference_server.forecast.validation import check_answer_size
from inference_server.schemas import ForecastSettings
from inference_server.settings import Settings

LIMITS = Settings.from_environment({"KRONOS_BUNDLE": "b"}).limits
ONE_SYMBOL: dict[str, Any] = {"pred_len": 512, "sample_count": 256}


@pytest.mark.parametrize(
    ("settings", "symbols", "values"),
    [
        ({}, 1, 120 * 9),
        ({"sample_count": 256}, 1, 120 * 9),
        ({"sample_count": 20, "return_samples": True}, 1, 120 * (9 + 20)),
        ({"sample_count": 20, "return_samples": "full"}, 1, 120 * (9 + 20 * 6)),
        ({"sample_count": 20, "return_samples": "full"}, 25, 25 * 120 * (9 + 20 * 6)),
    ],
)
def test_numbers_are_counted_by_symbol_candle_and_path(
    settings: dict[str, Any], symbols: int, values: int
) -> None:
    assert answer_values(ForecastSettings(**settings), symbols) == values


@pytest.mark.parametrize("samples", [False, True, "full"])
def test_any_one_symbol_within_the_other_limits_may_have_its_samples(samples: bool | Literal["full"]) -> None:
    check_answer_size(ForecastSettings(return_samples=samples, **ONE_SYMBOL), 1, LIMITS)
    check_answer_size(ForecastSettings(**ONE_SYMBOL), LIMITS.max_batch_symbols, LIMITS)


def test_a_refusal_says_what_was_asked_the_limit_and_what_to_do() -> None:
    settings = ForecastSettings(return_samples="full", **ONE_SYMBOL)
    with pytest.raises(BeyondLimit) as refused:
        check_answer_size(settings, 100, LIMITS)
    assert refused.value.given == 100 * 512 * (9 + 256 * 6)
    assert refused.value.expected == "at most 2000000 (KRONOS_MAX_ANSWER_VALUES)"
    assert refused.value.detail == (
        "the answer would hold 79104000 numbers: 100 symbols × 512 candles × 1545 for each; expected at most "
        "2000000. Ask for fewer paths (sample_count), a shorter horizon (pred_len), the close of every path "
        'alone (return_samples true instead of "full"), no samples or fewer symbols, in several requests'
    )


@pytest.mark.parametrize(
    ("samples", "symbols", "ways"),
    [
        (False, 1, "Ask for a shorter horizon (pred_len)"),
        (False, 2, "Ask for a shorter horizon (pred_len) or fewer symbols, in several requests"),
        (True, 1, "Ask for fewer paths (sample_count), a shorter horizon (pred_len) or no samples"),
    ],
)
def test_only_what_would_help_is_said(samples: bool, symbols: int, ways: str) -> None:
    limits = Settings.from_environment({"KRONOS_BUNDLE": "b", "KRONOS_MAX_ANSWER_VALUES": "1000"}).limits
    with pytest.raises(BeyondLimit) as refused:
        check_answer_size(ForecastSettings(sample_count=20, return_samples=samples), symbols, limits)
    assert refused.value.detail.endswith(f". {ways}")


@given(st.integers(1, 600), st.integers(1, 300), st.integers(1, 100), st.sampled_from([False, True, "full"]))
def test_the_limit_itself_is_taken(
    pred_len: int, paths: int, symbols: int, samples: bool | Literal["full"]
) -> None:
    settings = ForecastSettings(pred_len=pred_len, sample_count=paths, return_samples=samples)
    values = answer_values(settings, symbols)
    if values <= 2_000_000:
        check_answer_size(settings, symbols, LIMITS)
    else:
        with pytest.raises(BeyondLimit):
            check_answer_size(settings, symbols, LIMITS)
