"""Candles that contradict themselves, and unusual ones that do not."""

from typing import Any

import numpy as np
import pytest

from market.candle_checks import impossible, nonpositive

GOOD = {"open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0, "volume": 5.0, "amount": 50.0}


def rows(**change: Any) -> np.ndarray:
    return np.array([list(GOOD.values()), list({**GOOD, **change}.values())])


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"high": 10.5}, "high is below another price"),
        ({"high": 8.0, "open": 8.0, "close": 8.0}, "high is below another price"),
        ({"low": 10.5}, "low is above another price"),
        ({"close": 13.0}, "high is below another price"),
        ({"close": 8.0}, "low is above another price"),
        ({"volume": -1.0}, "volume is negative"),
        ({"amount": -1.0}, "amount is negative"),
    ],
)
def test_impossible(change: dict[str, float], fault: str) -> None:
    faults = impossible(rows(**change))
    assert faults[fault].tolist() == [False, True]


@pytest.mark.parametrize(
    "change",
    [{}, {"volume": np.nan, "amount": np.nan}, {"high": 11.0 - 1e-13}, {"low": 10.0 + 1e-13}, {"volume": 0.0},
     {"open": -10.0, "high": -9.0, "low": -12.0, "close": -11.0}],
)  # fmt: skip
def test_possible(change: dict[str, float]) -> None:
    assert impossible(rows(**change)) == {}


@pytest.mark.parametrize(("column", "value"), [("open", 0.0), ("low", -1.0), ("low", 0.0), ("close", -37.63)])
def test_nonpositive(column: str, value: float) -> None:
    assert nonpositive(rows(**{column: value})).tolist() == [False, True]
    assert not nonpositive(rows()).any()
