"""Judges whether a model's distributions are as wide as they claim: PIT histogram and reliability."""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from flows.evaluation.estimates import BlockBootstrap, Estimate
from flows.evaluation.panel import Panel
from market.types import Float64Array

BINS: Final = 10
LEVELS: Final = tuple(round(0.05 * number, 2) for number in range(1, 20))


class Calibration(msgspec.Struct, frozen=True):
    """How the actual closes lie within a model's distributions.

    Attributes
    ----------
    pit_histogram
        Share of closes in each tenth of the probability integral transform, over all steps; 0.1 each if
        the distributions are right. Both ends high: too narrow; the middle high: too wide.
    levels
        Nominal shares.
    reliability
        By step, such as ``"6"``, the share of closes below the quantile of each level.
    """

    model: str
    pit_histogram: list[Estimate]
    levels: list[float]
    reliability: dict[str, list[Estimate]]


def calibration(panel: Panel, bootstrap: BlockBootstrap, model: str, steps: Sequence[int]) -> Calibration:
    """Return the calibration of a model, its reliability at some steps, counted from 1.

    The histogram and the shares are expectations over the bounds of each transform, which needs no random
    numbers (Czado, Gneiting and Held, "Predictive model assessment for count data", Biometrics 65 (2009)).
    """
    scores = panel.scores[model]
    low, high = scores.pit_low, scores.pit_high
    edges = np.linspace(0, 1, BINS + 1)
    shares = np.diff([mass_below(low, high, edge) for edge in edges], axis=0)
    histogram = np.moveaxis(shares, 0, -1)
    return Calibration(
        model=model,
        pit_histogram=_means(panel, bootstrap, histogram),
        levels=list(LEVELS),
        reliability={
            str(step): _means(
                panel,
                bootstrap,
                np.stack(
                    [mass_below(low[:, [step - 1]], high[:, [step - 1]], level) for level in LEVELS], axis=-1
                ),
            )
            for step in steps
        },
    )


def mass_below(low: Float64Array, high: Float64Array, level: float) -> Float64Array:
    """Return the probability that a transform that is uniform between two bounds is at most `level`."""
    width = np.where(high > low, high - low, 1.0)
    inside = np.clip((level - low) / width, 0.0, 1.0)
    return np.where(np.isnan(low), np.nan, np.where(high > low, inside, low <= level))


def _means(panel: Panel, bootstrap: BlockBootstrap, values: Float64Array) -> list[Estimate]:
    """Return the mean of (windows, steps, K) values over windows and steps."""
    known = np.isfinite(values)
    above = np.where(known, values, 0.0).sum(axis=1)
    below = known.sum(axis=1).astype(np.float64)
    return bootstrap.ratios(
        panel.by_instant(above), panel.by_instant(below), below.sum(axis=0).astype(np.int64)
    )
