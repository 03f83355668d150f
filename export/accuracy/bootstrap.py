"""Computes relative changes of paired figures with bootstrap intervals over blocks of windows."""

from typing import Final

import numpy as np

from inference_server.engine.bundle import Change
from market.types import Float64Array, Int64Array

RESAMPLES: Final = 4000
LEVELS: Final = (2.5, 97.5)
"""Percentiles of the resamples that bound a 95 % interval."""


def relative_change(reference: Float64Array, other: Float64Array, blocks: Int64Array) -> Change:
    """Return by how many percent the mean of `other` differs from that of `reference`.

    The interval is the percentile interval of a block bootstrap (Davison and Hinkley, "Bootstrap Methods and
    their Application", 1997, sections 5.3.1 and 8.2.3; blocks that do not overlap: Carlstein, "The use of
    subseries values for estimating the variance of a general statistic from a stationary sequence", Annals
    of Statistics 14, 1986). Whole blocks are drawn, since neighbouring windows of a symbol are not
    independent.
    Both figures of a window are drawn together, so that what they have in common cancels.

    Parameters
    ----------
    reference, other
        (n,) figures of the same windows.
    blocks
        (n,) number of the block that each window belongs to, from 0.
    """
    sums = np.stack([np.bincount(blocks, weights=values) for values in (reference, other)], axis=1)
    sums = sums[np.bincount(blocks) > 0]
    count = len(sums)
    times = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    drawn: Float64Array = times.astype(np.float64) @ sums  # (resamples, 2)
    low, high = np.percentile(_percent(drawn), LEVELS)
    totals: Float64Array = sums.sum(axis=0)
    return Change(percent=float(_percent(totals)), low=float(low), high=float(high))


def _percent(pairs: Float64Array) -> Float64Array:
    """Return the change from the first of the last axis to the second, in percent."""
    return np.asarray(100 * (pairs[..., 1] / pairs[..., 0] - 1))
