import math

import numpy as np
import pytest

from training.evaluation.baselines import TokenCounts

RNG = np.random.default_rng(3)


def test_the_bigram_beats_the_unigram_where_tokens_depend_on_the_one_before():
    previous = RNG.integers(4, size=4000)
    predicted = np.where(RNG.random(4000) < 0.9, previous, RNG.integers(4, size=4000))
    counts = TokenCounts.of(previous[:3000], predicted[:3000], 4, 4)
    unigram = counts.unigram_nll(predicted[3000:]).mean()
    bigram = counts.bigram_nll(previous[3000:], predicted[3000:], 1.0).mean()
    assert unigram == pytest.approx(math.log(4), abs=0.02)
    share = 0.925
    assert bigram == pytest.approx(-share * math.log(share) - 0.075 * math.log(0.025), abs=0.06)


@pytest.mark.parametrize("strength", [1.0, 100.0])
def test_both_baselines_are_distributions(strength):
    counts = TokenCounts.of(RNG.integers(3, size=20), RNG.integers(5, size=20), 3, 5)
    all_tokens = np.arange(5)
    assert np.exp(-counts.unigram_nll(all_tokens)).sum() == pytest.approx(1)
    for previous in range(3):
        row = counts.bigram_nll(np.full(5, previous), all_tokens, strength)
        assert np.exp(-row).sum() == pytest.approx(1)
