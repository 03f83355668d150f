import numpy as np
import pytest

from training.data.stretches import TrainingError
from training.evaluation.bootstrap import mean, paired_ratio, share, table

RNG = np.random.default_rng(3)


def test_the_interval_holds_the_figure_and_narrows_with_the_cases() -> None:
    values = RNG.normal(10, 1, 400)
    figure = mean("a mean", values)
    assert figure.low < figure.value < figure.high
    assert figure.high - figure.low == pytest.approx(2 * 1.96 / 20, rel=0.2)
    assert figure.n == 400


def test_a_paired_ratio_is_one_of_means_whose_cases_stay_together() -> None:
    below = RNG.lognormal(0, 2, 200)
    figure = paired_ratio("twice", 2 * below, below)
    assert (figure.low, figure.value, figure.high) == pytest.approx((2, 2, 2))


def test_no_cases_give_no_figure_rather_than_a_crash() -> None:
    figure = share("none", [])
    assert figure.n == 0
    assert np.isnan(figure.value)
    assert "| none | – | – to – | 0 |" in table("Nothing", [figure])


def test_nan_is_an_error_rather_than_a_dash() -> None:
    with pytest.raises(TrainingError, match="a mean: 1 of 3 values are NaN or infinite"):
        mean("a mean", [1.0, np.nan, 3.0])


def test_a_table_has_a_row_for_each_figure() -> None:
    lines = table("Two", [share("a", [True, False]), mean("b", [0.01])]).splitlines()
    assert lines[0] == "**Two**"
    assert lines[4].startswith("| a | 0.500 |")
    assert lines[5] == "| b | 0.01 | 0.01 to 0.01 | 1 |"
