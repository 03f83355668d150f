import numpy as np
import pytest

from export.accuracy.bootstrap import LEVELS, RESAMPLES, relative_change


def test_the_change_and_its_interval_are_those_of_a_plain_loop() -> None:
    rng = np.random.default_rng(3)
    before, blocks = rng.uniform(1, 3, 40), np.arange(40) // 5
    after = before * rng.uniform(0.98, 1.04, 40)
    draws = np.random.default_rng(0).multinomial(8, np.full(8, 1 / 8), RESAMPLES)
    changes = []
    for times in draws:
        drawn = [
            window
            for block, count in enumerate(times)
            for _ in range(count)
            for window in range(5 * block, 5 * block + 5)
        ]
        changes.append(100 * (sum(after[w] for w in drawn) / sum(before[w] for w in drawn) - 1))
    found = relative_change(before, after, blocks)
    assert found.percent == pytest.approx(100 * (after.sum() / before.sum() - 1))
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(changes, LEVELS)))
    assert found.low < found.percent < found.high


def test_equal_figures_have_no_change_and_no_interval() -> None:
    figures = np.random.default_rng(1).uniform(1, 2, 20)
    change = relative_change(figures, figures, np.arange(20))
    assert (change.percent, change.low, change.high) == (0, 0, 0)


def test_windows_that_differ_together_have_the_interval_of_their_blocks() -> None:
    """Twenty windows of four equal changes each are worth no more than one of each."""
    of_block = np.random.default_rng(2).uniform(0.9, 1.1, 20)
    before, blocks = np.ones(80), np.repeat(np.arange(20), 4)
    together = relative_change(before, np.repeat(of_block, 4), blocks)
    alone = relative_change(np.ones(20), of_block, np.arange(20))
    assert (together.low, together.high) == pytest.approx((alone.low, alone.high))
