"""Scores the distribution of a forecast, beyond its three quantiles, against the actual closes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from flows.scoring.metrics import FEWEST_PATHS
from flows.scoring.random_walk import Walk
from market.types import Float64Array


@dataclass(frozen=True)
class DistributionScores:
    """How likely a forecast held the actual closes, (pred_len,) float64 each; NaN where unknown.

    Attributes
    ----------
    pit_low, pit_high
        The probability integral transform lies between them. Of a continuous distribution they are equal; of
        sample paths they are the bounds of the actual close's rank, for `flows.evaluation.calibration`.
    log_score
        Negative log likelihood in nats, of paths alone: see `normal_log_score`.
    """

    pit_low: Float64Array
    pit_high: Float64Array
    log_score: Float64Array


def scores_of_paths(paths: ArrayLike, actual: ArrayLike, unit: float) -> DistributionScores:
    """Score sample paths; fewer than two paths have unknown scores.

    A close that k of m paths lie below, and that e paths equal, has the rank k to k + e among the m + 1
    exchangeable values, so its transform lies between k / (m + 1) and (k + e + 1) / (m + 1) (Hamill,
    "Interpretation of rank histograms for verifying ensemble forecasts", Monthly Weather Review 129 (2001)).

    Parameters
    ----------
    paths
        (m, pred_len) closes.
    actual
        (pred_len,), NaN where unknown.
    unit
        Price in which the density of the log score is taken, such as the last close.
    """
    members, closes = np.asarray(paths, dtype=np.float64), np.asarray(actual, dtype=np.float64)
    unknown = np.full(len(closes), np.nan)
    count = len(members)
    if count < FEWEST_PATHS:
        return DistributionScores(unknown, unknown, unknown)
    below = (members < closes).sum(axis=0)
    equal = (members == closes).sum(axis=0)
    known = np.isfinite(closes)
    return DistributionScores(
        pit_low=np.where(known, below / (count + 1), np.nan),
        pit_high=np.where(known, (below + equal + 1) / (count + 1), np.nan),
        log_score=normal_log_score(members / unit, closes / unit),
    )


def scores_of_walk(walk: Walk, actual: ArrayLike) -> DistributionScores:
    """Score a baseline against (pred_len,) closes, NaN where unknown."""
    transform = walk.transform(actual)
    return DistributionScores(transform, transform, np.full(len(transform), np.nan))


def normal_log_score(paths: ArrayLike, actual: ArrayLike) -> Float64Array:
    """Return the negative log likelihood, nats, of a normal distribution with the paths' mean and variance.

    ½·ln(2πs²) + (y − x̄)² / (2s²): half the Dawid–Sebastiani score plus a constant, a proper score of mean
    and variance whatever the distribution is (Gneiting and Raftery, "Strictly proper scoring rules,
    prediction, and estimation", JASA 102 (2007), section 4.1). NaN where all paths are equal.

    Parameters
    ----------
    paths
        (m, n), m ≥ 2.
    actual
        (n,).
    """
    members = np.asarray(paths, dtype=np.float64)
    mean, variance = members.mean(axis=0), members.var(axis=0, ddof=1)
    spread = np.where(variance > 0, variance, np.nan)
    return np.asarray(
        0.5 * np.log(2 * np.pi * spread) + (np.asarray(actual, dtype=np.float64) - mean) ** 2 / (2 * spread)
    )
