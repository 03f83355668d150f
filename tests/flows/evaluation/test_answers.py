"""Answers: what figures give a yes, a no, and an unclear."""

from math import nan

import pytest

from flows.evaluation.accuracy import Comparison
from flows.evaluation.answers import better_than_baselines, events_help
from flows.evaluation.estimates import UNKNOWN, Estimate
from flows.evaluation.event_effects import EventEffect

LOWER, AROUND, HIGHER = (
    Estimate(0.9, 0.8, 0.99, 50),
    Estimate(1.0, 0.9, 1.1, 50),
    Estimate(1.2, 1.01, 1.3, 50),
)
NO_INTERVAL = Estimate(0.9, nan, nan, 50)


def against(name: str, crps: Estimate) -> Comparison:
    return Comparison(name, crps, UNKNOWN, [], [], [], [], {}, {})


def effect(group: str, crps: Estimate) -> EventEffect:
    return EventEffect(group, crps, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN)


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ((LOWER, LOWER), "yes"),
        ((LOWER, AROUND), "unclear"),
        ((LOWER, HIGHER), "no"),
        ((AROUND, HIGHER), "no"),
        ((LOWER, NO_INTERVAL), "unclear"),
        ((UNKNOWN, UNKNOWN), "unclear"),
    ],
)
def test_a_model_is_better_if_it_is_better_than_every_baseline(
    ratios: tuple[Estimate, Estimate], verdict: str
) -> None:
    answer = better_than_baselines([against(f"b{number}", each) for number, each in enumerate(ratios)])
    assert answer.verdict == verdict
    assert f"? {verdict.capitalize()}." in answer.sentence


def test_the_sentence_has_every_baseline_with_its_interval() -> None:
    answer = better_than_baselines([against("walk", LOWER), against("other", HIGHER)])
    assert "walk 0.900 (0.800 to 0.990), other 1.200 (1.010 to 1.300)" in answer.sentence
    assert "50 closes" in answer.sentence
    assert "too few instants" not in answer.sentence
    assert "too few instants" in better_than_baselines([against("walk", NO_INTERVAL)]).sentence


@pytest.mark.parametrize(
    ("effects", "verdict", "words"),
    [
        ([], "not compared", "no forecast was made both with and without"),
        ([effect("all", LOWER)], "yes", "without: 0.900 (0.800 to 0.990), 50 closes."),
        (
            [effect("all", AROUND), effect("release", LOWER)],
            "unclear",
            "with a release 0.900 (0.800 to 0.990)",
        ),
        ([effect("all", HIGHER)], "no", "1.200"),
        ([effect("all", NO_INTERVAL)], "unclear", "too few instants"),
    ],
)
def test_events_help_if_all_closes_are_forecast_better(
    effects: list[EventEffect], verdict: str, words: str
) -> None:
    answer = events_help(effects)
    assert answer.verdict == verdict
    assert words in answer.sentence
