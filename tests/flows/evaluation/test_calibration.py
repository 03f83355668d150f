"""PIT and reliability: uniform where the model is right, and what they show where it is not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.backtest.baselines import RANDOM_WALK
from flows.evaluation.calibration import BINS, LEVELS, calibration, mass_below
from flows.evaluation.estimates import BlockBootstrap
from flows.evaluation.panel import Panel, panel_of
from tests.helpers.simulated_backtests import MODEL, simulated_backtest

STEPS = (1, 4)


def bootstrap(panel: Panel) -> BlockBootstrap:
    return BlockBootstrap(len(panel.instants), 5, 1)


def test_a_right_model_has_a_uniform_pit_and_shares_on_the_diagonal(right_panel: Panel) -> None:
    found = calibration(right_panel, bootstrap(right_panel), MODEL, STEPS)
    shares = [each.value for each in found.pit_histogram]
    assert sum(shares) == pytest.approx(1)
    assert shares == pytest.approx([1 / BINS] * BINS, abs=0.025)
    inside = sum(each.low <= 1 / BINS <= each.high for each in found.pit_histogram)
    assert inside >= BINS - 2
    assert list(found.reliability) == ["1", "4"]
    for step in found.reliability.values():
        assert [each.value for each in step] == pytest.approx(LEVELS, abs=0.06)


@pytest.mark.parametrize(("width", "ends_are_high"), [(0.4, True), (2.5, False)])
def test_wrong_widths_show_at_the_ends(width: float, ends_are_high: bool) -> None:
    panel = panel_of(simulated_backtest(instants=30, width=width), MODEL)
    histogram = calibration(panel, bootstrap(panel), MODEL, STEPS).pit_histogram
    ends, middle = histogram[0].value + histogram[-1].value, histogram[4].value + histogram[5].value
    assert (ends > 2 * middle) == ends_are_high
    assert (middle > 2 * ends) == (not ends_are_high)


def test_a_continuous_distribution_has_a_histogram_too(right_panel: Panel) -> None:
    found = calibration(right_panel, bootstrap(right_panel), RANDOM_WALK, STEPS)
    expected, _ = np.histogram(right_panel.scores[RANDOM_WALK].pit_low, BINS, (0, 1))
    assert [each.value for each in found.pit_histogram] == pytest.approx(
        (expected / expected.sum()).tolist(), abs=1e-3
    )


# Not any float: between two neighbours of the smallest ones there are no 2000 draws.
@given(*[st.integers(0, 10**6).map(lambda millionths: millionths / 10**6)] * 3)
def test_the_mass_below_a_level_is_uniform_between_the_bounds(one: float, two: float, level: float) -> None:
    low, high = sorted((one, two))
    mass = float(mass_below(np.array([[low]]), np.array([[high]]), level)[0, 0])
    draws = low + (high - low) * (np.arange(2000) + 0.5) / 2000
    assert mass == pytest.approx(np.mean(draws <= level), abs=1e-3)
