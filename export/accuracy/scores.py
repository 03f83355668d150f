"""Computes CRPS and the width from p10 to p90 of sample paths that have weights."""

import numpy as np
from numpy.typing import ArrayLike

from market.envelope import LEVELS
from market.types import Float64Array


def weights_of(log_ratio: ArrayLike) -> Float64Array:
    """Return the weights that paths of one distribution have under another, (paths, …), sum 1 over paths.

    Self-normalised importance sampling: the weight of a path is the ratio of its probabilities (Owen, "Monte
    Carlo theory, methods and examples", 2013, section 9.2).

    Parameters
    ----------
    log_ratio
        (paths, …): log of the ratio, nats.
    """
    ratio = np.asarray(log_ratio, dtype=np.float64)
    weights = np.exp(ratio - ratio.max(axis=0))
    return np.asarray(weights / weights.sum(axis=0))


def effective_paths(weights: Float64Array) -> Float64Array:
    """Return the number of equally weighted paths that are worth as much, (…,): 1 / Σw² (Kong 1992)."""
    return np.asarray(1 / (weights**2).sum(axis=0))


def weighted_crps(paths: Float64Array, weights: Float64Array, actual: Float64Array) -> Float64Array:
    """Return the continuous ranked probability score, in the unit of the paths, (steps,).

    Σ wᵢ|xᵢ − y| − Σᵢⱼ wᵢwⱼ|xᵢ − xⱼ| / (2·(1 − Σwᵢ²)). With equal weights it is the fair score (Ferro, "Fair
    scores for ensemble forecasts", Q. J. R. Meteorol. Soc. 140, 2014), whose expectation does not depend on
    the number of paths.

    Parameters
    ----------
    paths, weights
        (paths, steps), at least two paths; the weights of a step have the sum 1.
    actual
        (steps,).
    """
    x, w = _sorted(paths, weights)
    error = (w * np.abs(x - actual)).sum(axis=0)
    below = w.cumsum(axis=0) - w
    # Over sorted values Σᵢⱼ wᵢwⱼ|xᵢ − xⱼ| = 2·Σᵢ wᵢxᵢ·(weight below i − weight above i).
    spread = 2 * (w * x * (2 * below + w - 1)).sum(axis=0)
    return np.asarray(error - spread / (2 * (1 - (w**2).sum(axis=0))))


def weighted_width(paths: Float64Array, weights: Float64Array) -> Float64Array:
    """Return p90 − p10 of weighted paths, in their unit, (steps,).

    A path stands for the level (C − w/2)·m/(m + 1) + 1/(2·(m + 1)), C being the weight up to it and with it:
    with equal weights i/(m + 1), as in `market.envelope`. Levels between two paths are interpolated.

    Parameters
    ----------
    paths, weights
        (paths, steps); the weights of a step have the sum 1.
    """
    x, w = _sorted(paths, weights)
    count = len(x)
    levels = (w.cumsum(axis=0) - w / 2) * count / (count + 1) + 0.5 / (count + 1)
    low, high = (
        [np.interp(level, levels[:, step], x[:, step]) for step in range(x.shape[1])]
        for level in (LEVELS[0], LEVELS[-1])
    )
    return np.array(high) - np.array(low)


def _sorted(paths: Float64Array, weights: Float64Array) -> tuple[Float64Array, Float64Array]:
    order = paths.argsort(axis=0)
    return np.take_along_axis(paths, order, axis=0), np.take_along_axis(weights, order, axis=0)
