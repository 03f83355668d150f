"""PIT bounds and log scores: against known values and plain loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.backtest.distributions import normal_log_score, scores_of_paths, scores_of_walk
from flows.scoring.random_walk import PriceWalk, RandomWalk


@given(st.lists(st.integers(1, 6), min_size=2, max_size=9), st.integers(0, 7))
def test_bounds_are_those_of_the_rank(paths: list[int], actual: int) -> None:
    scores = scores_of_paths(np.array(paths, dtype=np.float64)[:, None], [float(actual)], 1.0)
    count = len(paths) + 1
    assert scores.pit_low[0] == pytest.approx(sum(path < actual for path in paths) / count)
    assert scores.pit_high[0] == pytest.approx((sum(path <= actual for path in paths) + 1) / count)


def test_an_unknown_close_and_a_single_path_have_no_scores() -> None:
    scores = scores_of_paths([[1.0, 2.0], [3.0, 4.0]], [np.nan, 2.5], 1.0)
    for values in (scores.pit_low, scores.pit_high, scores.log_score):
        assert np.isnan(values).tolist() == [True, False]
    assert np.isnan(scores_of_paths([[1.0]], [1.0], 1.0).pit_low).all()


def test_the_log_score_is_that_of_a_normal_distribution() -> None:
    paths = np.array([[0.98], [1.0], [1.05]])
    mean, sd = 1.01, math.sqrt((0.03**2 + 0.01**2 + 0.04**2) / 2)
    density = math.exp(-((1.02 - mean) ** 2) / (2 * sd**2)) / (sd * math.sqrt(2 * math.pi))
    assert normal_log_score(paths, [1.02])[0] == pytest.approx(-math.log(density))
    relative = scores_of_paths(paths * 500, [1.02 * 500], 500.0)
    assert relative.log_score[0] == pytest.approx(-math.log(density))
    assert np.isnan(normal_log_score([[1.0], [1.0]], [1.0])).all()


def test_a_baseline_has_its_transform_and_no_log_score() -> None:
    for walk in (RandomWalk(50.0, np.array([0.1, 0.2])), PriceWalk(50.0, np.array([0.1, 0.2]))):
        scores = scores_of_walk(walk, [50.0, np.nan])
        for transform in (scores.pit_low, scores.pit_high):
            np.testing.assert_allclose(transform, [0.5, np.nan])
        assert np.isnan(scores.log_score).all()
