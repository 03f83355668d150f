from collections import Counter

import numpy as np
import pytest

from export.accuracy.generated import generated_candles
from export.accuracy.measure import WINDOWS, effort_for
from export.accuracy.windows import CandleSeries, choose_windows
from market.candle_checks import impossible


@pytest.fixture(scope="module")
def series() -> list[CandleSeries]:
    return generated_candles()


def test_a_seed_gives_the_same_possible_candles(series: list[CandleSeries]) -> None:
    for first, second in zip(series, generated_candles(), strict=True):
        np.testing.assert_array_equal(first.candles, second.candles)
        assert not any(rows.any() for rows in impossible(first.candles).values())
        assert (np.diff(first.timestamps) > np.timedelta64(0)).all()
    other = generated_candles(seed=1)
    assert not np.array_equal(series[0].candles, other[0].candles)


@pytest.mark.parametrize("parameters", [1_200_000, 4_100_000, 24_700_000, 102_300_000])
def test_they_suffice_for_models_of_every_size(series: list[CandleSeries], parameters: int) -> None:
    shape = effort_for(parameters, 512).shape
    windows = choose_windows(series, shape, WINDOWS)
    assert Counter(w.series.asset_class for w in windows) == {"crypto": 100, "fx": 100, "equity": 100}


def test_windows_fit_into_a_short_context() -> None:
    shape = effort_for(1_200_000, 64).shape
    assert len(shape) == 64
