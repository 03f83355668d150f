import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.events.surprises import direction, hawkish_score, level_z, surprise_z

NAN = float("nan")


def test_z_is_the_surprise_over_the_spread_of_those_before() -> None:
    forecast = np.zeros(7)
    actual = np.array([0.1, -0.1, 0.2, 0.0, 0.1, 0.1, -0.2])
    z = surprise_z(actual, forecast)
    np.testing.assert_array_equal(z[:5], 0.0)  # fewer than five before
    assert z[5] == pytest.approx(0.1 / np.std(actual[:5], ddof=1))
    assert z[6] == pytest.approx(-0.2 / np.std(actual[:6], ddof=1))


def test_only_the_last_twenty_count() -> None:
    actual = np.concatenate([np.full(10, 50.0), np.tile([1.0, -1.0], 10), [0.5]])
    assert surprise_z(actual, np.zeros(31))[-1] == pytest.approx(
        0.5 / np.std(np.tile([1.0, -1.0], 10), ddof=1)
    )


def test_a_release_without_actual_or_forecast_has_no_surprise_and_enters_no_spread() -> None:
    actual = np.array([0.1, -0.1, NAN, 0.2, 0.0, 0.1, 0.1])
    forecast = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, NAN])
    z = surprise_z(actual, forecast)
    assert np.isnan(z[[2, 6]]).all()
    np.testing.assert_array_equal(z[[0, 1, 3, 4, 5]], 0.0)


def test_equal_surprises_have_no_spread_even_where_fractions_round() -> None:
    actual = np.array([0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    np.testing.assert_array_equal(surprise_z(actual, actual - 0.1), 0.0)


def test_z_is_clipped() -> None:
    assert surprise_z(np.array([0.1, -0.1, 0.1, -0.1, 0.1, -9.0]), np.zeros(6))[-1] == -3.0


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=40), st.integers(0, 39), st.floats(-100, 100))
def test_a_later_figure_changes_no_earlier_z(surprises: list[float], index: int, other: float) -> None:
    changed = list(surprises)
    index = min(index, len(surprises) - 1)
    changed[index] = other
    zeros = np.zeros(len(surprises))
    before = surprise_z(np.array(surprises), zeros)
    np.testing.assert_array_equal(before[:index], surprise_z(np.array(changed), zeros)[:index])


@pytest.mark.parametrize(
    ("actual", "forecast", "previous", "override", "expected"),
    [
        (1.75, 1.5, 1.0, NAN, 1.0),  # June 2022: 75 bp where 50 were forecast
        (1.0, 1.0, 0.5, NAN, 0.0),  # May 2022: 50 bp, as forecast
        (5.0, 5.25, 5.5, NAN, -1.0),  # September 2024: a cut of 50 bp where 25 were forecast
        (1.25, NAN, 1.75, NAN, -1.0),  # March 3, 2020: no forecast, so against the rate before; clipped
        (4.6, 4.5, 4.5, NAN, 0.4),
        (4.5, 4.5, 4.5, 0.3, 0.3),  # a column wins
        (NAN, 4.5, 4.5, -0.3, -0.3),
        (4.5, 4.5, 4.5, 7.0, 1.0),
    ],
)
def test_hawkish_score(
    actual: float, forecast: float, previous: float, override: float, expected: float
) -> None:
    columns = (np.array([value]) for value in (actual, forecast, previous, override))
    assert hawkish_score(*columns)[0] == pytest.approx(expected)


def test_the_rate_before_is_that_of_the_decision_before_not_a_revised_previous() -> None:
    actual = np.array([1.0, NAN, 1.25])
    score = hawkish_score(actual, np.full(3, NAN), np.array([1.0, NAN, 9.0]), np.full(3, NAN))
    assert score[0] == 0
    assert np.isnan(score[1])
    assert score[2] == 1.0


def test_direction() -> None:
    signs = direction(np.array([1.0, 0.3, 0.1, NAN]), np.array([0.7, 0.1 + 0.2, 0.2, 0.1]))
    np.testing.assert_array_equal(signs, [1, 0, -1, NAN])


@given(st.lists(st.floats(5, 80), min_size=1, max_size=80), st.integers(1, 30))
def test_level_z_is_the_plain_formula(levels: list[float], width: int) -> None:
    values = np.array(levels)
    starts = np.maximum(np.arange(len(values)) - width, 0)
    found = level_z(values, starts, 2)
    for i, start in enumerate(starts):
        past = values[start:i]
        spread = np.std(past, ddof=1) if len(past) >= 2 else 0.0
        if spread > 1e-3:
            assert found[i] == pytest.approx(np.clip((values[i] - past.mean()) / spread, -3, 3), abs=1e-6)
        elif len(past) < 2:
            assert found[i] == 0


def test_level_z_of_nothing_is_nothing() -> None:
    assert level_z(np.zeros(0), np.zeros(0, dtype=np.int64), 5).shape == (0,)
