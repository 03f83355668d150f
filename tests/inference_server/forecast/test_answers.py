"""From paths to answers: envelope, mean, samples, repair and the warning about a sliding context."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inference_server.engine.jobs import ForecastJob
from inference_server.forecast.answers import predict_answer, repaired
from inference_server.forecast.input_warnings import sliding_warnings
from inference_server.schemas import ModelName, PredictAnswer, PredictRequest

PATHS = np.random.default_rng(0).normal(100, 1, (19, 3, 6)).astype(np.float32)
MODEL = ModelName(name="tiny", version="abc")


def answer(paths: np.ndarray = PATHS, **fields: Any) -> PredictAnswer:
    times = np.datetime64("2024-06-28T20:00", "us") + np.arange(35) * np.timedelta64(1, "h")
    job = ForecastJob(np.ones((32, 6)), times[:32], times[32:], sample_count=len(paths), seed=7)
    asked = PredictRequest(symbol="BTC-USD", timeframe="1h", pred_len=3, **fields)
    return predict_answer(asked, job, paths, MODEL, ["careful"])


def test_an_answer_says_how_it_came_about() -> None:
    made = answer()
    assert (made.symbol, made.timeframe, made.model) == ("BTC-USD", "1h", MODEL)
    assert (made.seed, made.sample_count, made.lookback_used, made.events_used) == (7, 19, 32, False)
    assert made.as_of == datetime(2024, 6, 30, 3, tzinfo=UTC)
    assert made.timestamps == [datetime(2024, 6, 30, hour, tzinfo=UTC) for hour in (4, 5, 6)]
    assert made.warnings == ["careful"]
    assert made.samples is None


def test_quantiles_are_of_close_and_the_mean_is_of_every_feature() -> None:
    made = answer()
    closes = np.sort(PATHS[:, :, 3].astype(float), axis=0)
    np.testing.assert_allclose([made.p10, made.p50, made.p90], closes[[1, 9, 17]])  # k / 20 = 0.1, 0.5, 0.9
    np.testing.assert_allclose(made.mean.volume, PATHS[:, :, 4].astype(float).mean(axis=0))


def test_samples_are_closes_or_everything() -> None:
    np.testing.assert_array_equal(answer(return_samples=True).samples, PATHS[:, :, 3])
    np.testing.assert_array_equal(answer(return_samples="full").samples, PATHS)


@given(arrays(np.float64, (2, 3, 6), elements=st.floats(-1e6, 1e6)))
def test_repaired_candles_are_consistent(paths: np.ndarray) -> None:
    opens, highs, lows, closes, volume, amount = np.moveaxis(repaired(paths), 2, 0)
    assert (highs >= np.maximum(np.maximum(opens, closes), lows)).all()
    assert (lows <= np.minimum(opens, closes)).all()
    assert (volume >= 0).all()
    assert (amount >= 0).all()
    np.testing.assert_array_equal(opens, paths[:, :, 0])
    np.testing.assert_array_equal(closes, paths[:, :, 3])


def test_repair_reaches_samples_and_mean_and_is_off_by_default() -> None:
    paths = np.tile(np.array([10, 9, 11, 10, -5, -5], np.float32), (2, 3, 1))
    assert answer(paths).mean.volume == [-5.0] * 3
    made = answer(paths, repair=True, return_samples="full")
    assert np.asarray(made.samples).tolist() == [[[10.0, 11.0, 9.0, 10.0, 0.0, 0.0]] * 3] * 2
    assert (made.mean.high, made.mean.low, made.mean.volume) == ([11.0] * 3, [9.0] * 3, [0.0] * 3)


def test_values_that_are_not_finite_are_no_answer() -> None:
    broken = PATHS.copy()
    broken[0, 0, 0] = np.nan
    with pytest.raises(ArithmeticError, match="not finite for BTC-USD"):
        answer(broken)


@pytest.mark.parametrize(
    ("lookback", "pred_len", "stride", "slides"),
    [
        (392, 120, 1, False),
        (393, 120, 1, False),
        (394, 120, 1, True),
        (512, 120, 1, True),
        (512, 120, 64, False),
        (600, 1, 1, False),
    ],
)
def test_a_context_that_slides_at_every_step_is_said(
    lookback: int, pred_len: int, stride: int, slides: bool
) -> None:
    warnings = sliding_warnings(lookback, pred_len, 512, stride)
    assert len(warnings) == slides
    for warning in warnings:
        assert "lookback of at most 392" in warning
        assert "larger context_stride" in warning
