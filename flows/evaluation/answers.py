"""Answers the two questions of an evaluation: is the model better than the baselines, and do events help?"""

import math
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from flows.evaluation.accuracy import Comparison
from flows.evaluation.estimates import FEWEST_BLOCKS, Estimate
from flows.evaluation.event_effects import EventEffect

Verdict = Literal["yes", "no", "unclear", "not compared"]


class Answer(msgspec.Struct, frozen=True):
    """A verdict, and the sentence that gives it with its figures."""

    verdict: Verdict
    sentence: str


def better_than_baselines(comparisons: Sequence[Comparison]) -> Answer:
    """Answer by the ratio of the CRPS over all steps and symbols.

    Yes if the whole interval lies below 1 for every baseline, no if it lies above 1 for one of them.
    """
    ratios = [each.overall_crps for each in comparisons]
    verdict = _verdict(ratios)
    figures = ", ".join(f"{each.baseline} {_ratio_text(each.overall_crps)}" for each in comparisons)
    return Answer(
        verdict,
        f"Better than the baselines on these symbols? {verdict.capitalize()}. Its CRPS over that of each: "
        f"{figures}; {ratios[0].n:,} closes, below 1 is better.{_too_few(ratios)}",
    )


def events_help(effects: Sequence[EventEffect]) -> Answer:
    """Answer by the ratio of the CRPS with events to that without, over all steps and symbols."""
    by_group = {effect.group: effect for effect in effects}
    if "all" not in by_group:
        return Answer(
            "not compared", "Do events help? Not compared: no forecast was made both with and without them."
        )
    overall = by_group["all"].crps_ratio
    verdict = _verdict([overall])
    text = (
        f"Do events help? {verdict.capitalize()}. The CRPS with events over that without: "
        f"{_ratio_text(overall)}, {overall.n:,} closes"
    )
    if "release" in by_group:
        released = by_group["release"].crps_ratio
        text += f"; at candles with a release {_ratio_text(released)}, {released.n:,} closes"
    return Answer(verdict, f"{text}.{_too_few([overall])}")


def _verdict(ratios: Iterable[Estimate]) -> Verdict:
    parts = list(ratios)
    if any(each.low > 1 for each in parts):
        return "no"
    return "yes" if all(each.high < 1 for each in parts) else "unclear"


def _too_few(ratios: Iterable[Estimate]) -> str:
    if any(math.isfinite(each.value) and math.isnan(each.low) for each in ratios):
        return f" There are too few instants for an interval: fewer than {FEWEST_BLOCKS} blocks."
    return ""


def _ratio_text(ratio: Estimate) -> str:
    if math.isnan(ratio.value):
        return "unknown"
    interval = "" if math.isnan(ratio.low) else f" ({ratio.low:.3f} to {ratio.high:.3f})"
    return f"{ratio.value:.3f}{interval}"
