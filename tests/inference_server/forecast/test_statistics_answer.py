"""What may be asked of the paths, and the answer's statistics against the samples of the same answer."""

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from inference_server.engine.jobs import ForecastJob
from inference_server.errors import InvalidRequest
from inference_server.forecast.answer_size import statistics_values
from inference_server.forecast.answers import predict_answer
from inference_server.forecast.validation import MAX_LEVELS, MAX_PRICES, check_levels, check_prices
from inference_server.schemas import ModelName, PredictAnswer, PredictRequest, ProbabilityRequest, Statistics
from market.warning_codes import code_of

MODEL = ModelName(name="tiny", version="abc")
TIMES = np.datetime64("2024-06-28T20:00", "us") + np.arange(36) * np.timedelta64(1, "h")
LAST = 100.0
JOB = ForecastJob(np.full((32, 6), LAST), TIMES[:32], TIMES[32:], sample_count=19, seed=7)
PATHS = np.random.default_rng(0).normal(LAST, 1, (19, 4, 6)).astype(np.float32)
EVERYTHING: dict[str, Any] = {
    "quantiles": [0.95, 0.05, 0.5],
    "probabilities": ProbabilityRequest(close_above=[101.0, 99.5], touch=[101.0, 99.0, LAST]),
    "realised_volatility": True,
}


def answer(paths: np.ndarray = PATHS, job: ForecastJob = JOB, **fields: Any) -> PredictAnswer:
    asked = PredictRequest(symbol="BTC-USD", timeframe="1h", pred_len=4, **fields)
    return predict_answer(asked, replace(job, sample_count=len(paths)), paths, MODEL, [])


def statistics(paths: np.ndarray = PATHS, job: ForecastJob = JOB, **fields: Any) -> Statistics:
    made = answer(paths, job, **fields).statistics
    assert isinstance(made, Statistics)
    return made


def codes(made: PredictAnswer) -> list[str]:
    return [code_of(text) for text in made.warnings]


def test_an_answer_without_statistics_has_no_word_of_them() -> None:
    encoded = msgspec.json.encode(answer())
    assert b"statistics" not in encoded
    assert encoded.endswith(b'"events_used":false,"warnings":[]}')
    for nothing in ({"quantiles": None}, {"probabilities": None}, {"realised_volatility": False}):
        assert msgspec.json.encode(answer(**nothing)) == encoded


def test_a_request_without_statistics_travels_as_before() -> None:
    encoded = msgspec.json.encode(PredictRequest(symbol="A"))
    for field in ("quantiles", "probabilities", "realised_volatility"):
        assert field.encode() not in encoded


def test_only_what_was_asked_is_answered() -> None:
    assert set(msgspec.to_builtins(statistics(quantiles=[0.5]))) == {
        "paths",
        "calibrated",
        "last_close",
        "quantiles",
    }
    only_up = msgspec.to_builtins(statistics(probabilities=ProbabilityRequest()))
    assert set(only_up) == {"paths", "calibrated", "last_close", "probabilities"}
    assert set(only_up["probabilities"]) == {"up"}


@pytest.mark.parametrize("repair", [False, True])
def test_statistics_are_those_of_the_samples(repair: bool) -> None:
    made = answer(return_samples="full", repair=repair, **EVERYTHING)
    found = made.statistics
    assert isinstance(found, Statistics)
    assert made.samples is not None
    samples: Any = made.samples  # [path][step][feature]
    assert (found.paths, found.calibrated, found.last_close) == (19, False, LAST)

    assert found.quantiles
    assert found.quantiles.levels == [0.95, 0.05, 0.5]
    for i, name in enumerate(("open", "high", "low", "close")):
        table = getattr(found.quantiles, name)
        for step in range(4):
            ordered = sorted(path[step][i] for path in samples)
            # k / 20 = 0.95, 0.05, 0.5 for the 19th, first and tenth of 19 paths
            expected = [ordered[18], ordered[0], ordered[9]]
            assert [row[step] for row in table] == pytest.approx(expected)
    assert found.quantiles.close[2] == made.p50

    assert found.probabilities
    for step in range(4):
        closes = [path[step][3] for path in samples]
        assert found.probabilities.up[step] == sum(close > LAST for close in closes) / 19
        for one, price in zip(found.probabilities.close_above, (101.0, 99.5), strict=True):
            assert (one.price, one.probability[step]) == (price, sum(close > price for close in closes) / 19)
        for one, price in zip(found.probabilities.touch, (101.0, 99.0, LAST), strict=True):
            reached = [
                any(max(c[:4]) >= price if price >= LAST else min(c[:4]) <= price for c in path[: step + 1])
                for path in samples
            ]
            assert (one.price, one.probability[step]) == (price, sum(reached) / 19)

    assert found.realised_volatility
    assert found.realised_volatility.levels == [0.95, 0.05, 0.5]
    for step in range(4):
        by_path = []
        for path in samples:
            closes = [LAST, *(candle[3] for candle in path[: step + 1])]
            by_path.append(float(np.sqrt(np.sum(np.diff(np.log(closes)) ** 2))))
        ordered = sorted(by_path)
        values = [row[step] for row in found.realised_volatility.values]
        assert values == pytest.approx([ordered[18], ordered[0], ordered[9]])


@pytest.mark.parametrize(
    "fields",
    [{}, EVERYTHING, {"realised_volatility": True}, {"probabilities": ProbabilityRequest(touch=[99.0])}],
    ids=["nothing", "everything", "volatility", "touch"],
)
def test_the_numbers_of_a_candle_are_known_before(fields: dict[str, Any]) -> None:
    def numbers(value: Any) -> int:
        if isinstance(value, dict):
            return sum(numbers(one) for name, one in value.items() if name != "levels")
        if isinstance(value, list):
            return sum(numbers(one) if isinstance(one, list | dict) else 1 for one in value)
        return 0

    found = msgspec.to_builtins(answer(**fields)).get("statistics", {})
    asked = PredictRequest(symbol="A", **fields)
    assert numbers(found) == statistics_values(asked) * 4


def test_quantiles_at_the_envelope_s_levels_are_the_envelope() -> None:
    made = answer(quantiles=[0.1, 0.5, 0.9])
    assert isinstance(made.statistics, Statistics)
    assert made.statistics.quantiles
    assert made.statistics.quantiles.close == [made.p10, made.p50, made.p90]
    below = answer(PATHS - 101, quantiles=[0.1, 0.5, 0.9])  # a price that is never zero or below
    assert isinstance(below.statistics, Statistics)
    assert below.statistics.quantiles
    assert below.statistics.quantiles.close == [below.p10, below.p50, below.p90]
    assert codes(below) == ["envelope-floor"] * 2


def test_volatility_without_quantiles_has_the_envelope_s_levels() -> None:
    made = statistics(realised_volatility=True).realised_volatility
    assert made
    assert made.levels == [0.1, 0.5, 0.9]


def test_volatility_ends_where_a_path_falls_to_zero() -> None:
    paths = PATHS.copy()
    paths[3, 2, 3] = -1.0
    paths[5, 3, 3] = 0.0
    made = answer(paths, realised_volatility=True)
    assert isinstance(made.statistics, Statistics)
    assert made.statistics.realised_volatility
    for row in made.statistics.realised_volatility.values:
        assert row[2:] == [None, None]
        assert all(value is not None and value > 0 for value in row[:2])
    assert codes(made) == ["statistics-undefined"]
    assert "2 of 19 paths have a close of zero or below, the first at step 3" in made.warnings[0]


def test_volatility_from_a_last_close_below_zero_is_null_and_said() -> None:
    made = answer(PATHS, replace(JOB, candles=np.full((32, 6), -1.0)), realised_volatility=True)
    assert isinstance(made.statistics, Statistics)
    assert made.statistics.realised_volatility
    assert made.statistics.realised_volatility.values == [[None] * 4] * 3
    assert "the last close is -1" in made.warnings[0]


def test_levels_that_so_few_paths_cannot_tell_are_named() -> None:
    made = answer(quantiles=[0.01, 0.05, 0.5, 0.99])
    assert codes(made) == ["quantiles-beyond-paths"]
    assert "19 sample paths tell levels from 0.05 to 0.95: the quantiles 0.01, 0.99 are" in made.warnings[0]


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([], "empty"),
        ([0.0], "strictly between 0 and 1"),
        ([0.5, 1.0], "holds 1;"),
        ([-0.1], "holds -0.1"),
        ([5.0], "holds 5"),
        ([0.5, 0.25, 0.5], "0.5 twice"),
        ([float("nan")], "holds nan"),
        ([i / 101 for i in range(1, MAX_LEVELS + 2)], "100 values; expected at most 99"),
    ],
    ids=["none", "zero", "one", "below", "per cent", "twice", "nan", "too many"],
)
def test_levels_that_are_none_are_refused(levels: list[float], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as refused:
        check_levels(PredictRequest(symbol="A", quantiles=levels))
    assert refused.value.expected is not None


def test_as_many_levels_as_per_cents_are_taken() -> None:
    check_levels(PredictRequest(symbol="A", quantiles=[i / 100 for i in range(1, 100)]))
    check_levels(PredictRequest(symbol="A", quantiles=None))
    check_levels(PredictRequest(symbol="A"))


@pytest.mark.parametrize("name", ["close_above", "touch"])
@pytest.mark.parametrize(
    ("prices", "lowest", "message"),
    [
        ([1.0, -0.02], 0.0, "holds -0.02, and every price of the history of A is above 0"),
        ([0.0], 0.0, "give prices, not returns"),
        ([float("inf")], -np.inf, "holds inf"),
        ([float("nan")], 0.0, "holds nan"),
        ([2.0, 2], 0.0, "2 twice"),
        ([1.0 + i for i in range(MAX_PRICES + 1)], 0.0, "101 values; expected at most 100"),
    ],
    ids=["a return", "zero", "infinite", "nan", "twice", "too many"],
)
def test_prices_that_cannot_be_are_refused(
    name: str, prices: list[float], lowest: float, message: str
) -> None:
    with pytest.raises(InvalidRequest, match=rf"probabilities\.{name} .*{message}"):
        check_prices(PredictRequest(symbol="A", probabilities=ProbabilityRequest(**{name: prices})), lowest)


def test_a_price_below_zero_is_taken_where_it_can_be() -> None:
    check_prices(PredictRequest(symbol="A", probabilities=ProbabilityRequest(touch=[-37.6, 0.0])), -np.inf)
    check_prices(PredictRequest(symbol="A"), 0.0)
