"""Figures with intervals: against plain loops, known values, and repeated experiments."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.evaluation.estimates import (
    FEWEST_BLOCKS,
    BlockBootstrap,
    Estimate,
    block_length,
    mean,
    share,
    t_of_mean,
)
from market.types import Float64Array


def ratio_of(above: Float64Array, below: Float64Array, *, block: int = 3, seed: int = 0) -> Estimate:
    bootstrap = BlockBootstrap(len(above), block, seed)
    return bootstrap.ratios(above[:, None], below[:, None], [len(above)])[0]


def test_the_ratio_is_that_of_the_sums_and_the_interval_holds_it() -> None:
    rng = np.random.default_rng(3)
    above, below = rng.gamma(2, size=60), rng.gamma(2, size=60)
    estimate = ratio_of(above, below)
    assert estimate.value == pytest.approx(sum(above) / sum(below))
    assert estimate.low < estimate.value < estimate.high
    assert estimate.n == 60


def test_resamples_are_those_of_a_plain_loop() -> None:
    instants, block = 24, 3
    above = np.arange(instants, dtype=np.float64)
    rng = np.random.default_rng(7)
    starts = rng.integers(instants, size=(1000, instants // block))
    drawn = [
        np.mean([above[(start + step) % instants] for start in row for step in range(block)])
        for row in starts
    ]
    estimate = ratio_of(above, np.ones(instants), block=block, seed=7)
    assert [estimate.low, estimate.high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]).tolist())


def test_a_seed_gives_the_same_interval_again_and_another_seed_another() -> None:
    above, below = np.random.default_rng(3).gamma(2, size=(2, 60))
    assert ratio_of(above, below, seed=5) == ratio_of(above, below, seed=5)
    assert ratio_of(above, below, seed=5) != ratio_of(above, below, seed=6)


def test_models_stay_paired() -> None:
    scores = np.random.default_rng(3).gamma(2, size=80)
    estimate = ratio_of(0.9 * scores, scores)
    assert [estimate.low, estimate.high] == pytest.approx([0.9, 0.9])


@pytest.mark.parametrize("dependent", [False, True])
def test_intervals_hold_the_truth_about_as_often_as_they_claim(dependent: bool) -> None:
    """Also where neighbouring instants move together (an autoregression with coefficient 0.5)."""
    rng = np.random.default_rng(8)
    held, count = 0, 200
    for _ in range(count):
        noise = rng.normal(size=(220,))
        if dependent:
            for step in range(1, len(noise)):
                noise[step] += 0.5 * noise[step - 1]
        estimate = ratio_of(5 + noise[-200:], np.ones(200), block=block_length(200, 1))
        held += estimate.low <= 5 <= estimate.high
    assert held / count >= 0.85


@pytest.mark.parametrize(("instants", "known"), [(8 * 3 - 1, False), (8 * 3, True)])
def test_too_few_blocks_have_no_interval(instants: int, known: bool) -> None:
    estimate = ratio_of(np.arange(1.0, instants + 1), np.ones(instants))
    assert math.isfinite(estimate.value)
    assert math.isfinite(estimate.low) == math.isfinite(estimate.high) == known


def test_what_was_seen_at_few_instants_has_no_interval() -> None:
    below = np.zeros(60)
    below[: FEWEST_BLOCKS - 1] = 1
    assert math.isnan(ratio_of(below, below).low)
    below[FEWEST_BLOCKS] = 1
    assert ratio_of(below, below).low == 1


def test_a_ratio_over_nothing_is_unknown() -> None:
    estimate = ratio_of(np.ones(60), np.zeros(60))
    assert all(map(math.isnan, (estimate.value, estimate.low, estimate.high)))


@pytest.mark.parametrize(
    ("instants", "horizon", "expected"), [(365, 1, 7), (365, 24, 24), (30, 1, 3), (1, 1, 1)]
)
def test_block_lengths(instants: int, horizon: int, expected: int) -> None:
    assert block_length(instants, horizon) == expected


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [  # published examples: Newcombe, Statistics in Medicine 17 (1998), table I
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_intervals_are_the_published_ones(hits: int, n: int, low: float, high: float) -> None:
    estimate = share(hits, n)
    assert [estimate.low, estimate.high] == pytest.approx([low, high], abs=6e-5)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=20))
def test_means_and_their_t_are_those_of_a_plain_loop(values: list[float]) -> None:
    centre = sum(values) / len(values)
    variance = sum((value - centre) ** 2 for value in values) / (len(values) - 1)
    error = math.sqrt(variance / len(values))
    estimate = mean(values)
    assert estimate.value == pytest.approx(centre, abs=1e-9)
    assert estimate.high - estimate.value == pytest.approx(1.959964 * error, abs=1e-9)
    if error > 1e-6:
        assert t_of_mean(values) == pytest.approx(centre / error, abs=1e-6)


def test_of_no_or_one_observation_little_is_known() -> None:
    assert share(0, 0).n == 0
    assert math.isnan(mean([]).value)
    assert math.isnan(mean([1.0]).low)
    assert math.isnan(t_of_mean([1.0]))
    assert math.isnan(t_of_mean([1.0, 1.0]))
