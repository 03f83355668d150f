"""Learns how far p10 and p90 must move, per step, so that one close in ten lies below and one above.

Split conformal prediction: the misses of past forecasts whose closes are known, in widths of their own
envelope, give the widening of later ones. Coverage is exact if past and future misses are exchangeable;
overlapping horizons and changing markets make it approximate, so watch it.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from market.envelope import LEVELS
from market.types import Float64Array, Int64Array

FEWEST_RESIDUALS: Final = 50
"""Known closes that a step needs: its 90 % quantile is determined by the largest five of them."""

TAIL: Final = 1.0 - LEVELS[0]
"""Share of closes that belong above p10, and below p90."""


@dataclass(frozen=True)
class Calibration:
    """How far the envelopes of a group of forecasts are widened.

    Attributes
    ----------
    low, high
        (steps,) how far p10 moves down and p90 up, in widths p90 − p10 of the raw envelope; negative where
        that was too wide, NaN where there are too few closes.
    counts
        (steps,) known closes that each step was learned from.
    """

    low: Float64Array
    high: Float64Array
    counts: Int64Array


def learn(p10: ArrayLike, p90: ArrayLike, actual: ArrayLike) -> Calibration:
    """Learn the widening from forecasts whose closes are known.

    Each tail has its own quantile, so that p10 and p90 are each calibrated, not only the share between
    (Romano, Patterson and Candès, "Conformalized quantile regression", NeurIPS 2019, theorem 2). Misses are
    taken in widths of the envelope, so that one figure serves symbols of any price and quiet and wild days
    (CQR-r in Sesia and Candès, "A comparison of some conformal quantile regression methods", Stat 9, 2020).

    Parameters
    ----------
    p10, p90, actual
        (n, steps) each; NaN where a forecast is shorter or no close is known. Envelopes without width
        (of one sample path) are ignored.
    """
    low, high, close = (np.asarray(values, dtype=np.float64) for values in (p10, p90, actual))
    width = np.where(high > low, high - low, np.nan)
    below, above = (low - close) / width, (close - high) / width
    counts = np.isfinite(below).sum(axis=0)
    moves = [
        [
            conformal_quantile(column[np.isfinite(column)], TAIL) if count >= FEWEST_RESIDUALS else np.nan
            for column, count in zip(misses.T, counts, strict=True)
        ]
        for misses in (below, above)
    ]
    return Calibration(np.array(moves[0]), np.array(moves[1]), counts.astype(np.int64))


def conformal_quantile(scores: Float64Array, coverage: float) -> float:
    """Return the ⌈(n + 1)·coverage⌉-th smallest score, the ⌈(n + 1)(1 − α)⌉/n empirical quantile.

    The finite-sample correction of split conformal prediction: a new exchangeable score is at most this with
    probability ≥ coverage = 1 − α (Papadopoulos et al. 2002; Lei et al., "Distribution-free predictive
    inference for regression", JASA 113, 2018, theorem 2.2). Infinity where n is too small for any bound.

    Parameters
    ----------
    scores
        (n,), finite.
    coverage
        Between 0 and 1.
    """
    rank = math.ceil(round((len(scores) + 1) * coverage, 9))  # 0.9 · 10 must not be above 9
    return float(np.partition(scores, rank - 1)[rank - 1]) if rank <= len(scores) else math.inf


def calibrate(
    calibration: Calibration,
    p10: ArrayLike,
    p50: ArrayLike,
    p90: ArrayLike,
    *,
    allow_nonpositive: bool = False,
) -> tuple[Float64Array, Float64Array] | None:
    """Return calibrated p10 and p90, (pred_len,) each, or None if a step is not learned.

    Neither crosses p50, and p10 does not fall through 0 where the raw one is not below it, unless the price
    can.

    Parameters
    ----------
    p10, p50, p90
        (pred_len,) raw envelope.
    allow_nonpositive
        Whether the price can be zero or below.
    """
    low, middle, high = (np.asarray(values, dtype=np.float64) for values in (p10, p50, p90))
    steps = len(low)
    down, up = calibration.low[:steps], calibration.high[:steps]
    if len(down) < steps or not np.isfinite(down + up).all():
        return None
    width = high - low
    moved = np.minimum(low - down * width, middle)
    floor = np.where((low >= 0) & (not allow_nonpositive), 0.0, -np.inf)
    return np.maximum(moved, floor), np.maximum(high + up * width, middle)
