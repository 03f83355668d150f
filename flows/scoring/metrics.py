"""Computes a forecast's losses and hits against the actual closes: a figure per step, NaN where unknown."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from market.envelope import LEVELS
from market.types import Float64Array

FEWEST_PATHS: Final = 2
"""Fewest sample paths of which the fair CRPS is defined."""


@dataclass(frozen=True)
class StepScores:
    """One forecast's figures, (pred_len,) float64 each; NaN where no close is known, or none applies.

    Attributes
    ----------
    actual, pinball, abs_error, crps
        Price units; `pinball` is the mean over p10, p50 and p90, `abs_error` that of p50.
    covered, covered_calibrated
        1 where p10 ≤ close ≤ p90, else 0; `covered_calibrated` of the calibrated envelope.
    direction_hit
        1 where p50 and the close lie on the same side of the last close, else 0.
    """

    actual: Float64Array
    covered: Float64Array
    covered_calibrated: Float64Array
    pinball: Float64Array
    abs_error: Float64Array
    direction_hit: Float64Array
    crps: Float64Array


def score_steps(
    quantiles: ArrayLike,
    actual: ArrayLike,
    last_close: float,
    *,
    calibrated: tuple[ArrayLike, ArrayLike] | None = None,
    paths: ArrayLike | None = None,
) -> StepScores:
    """Score one forecast.

    Parameters
    ----------
    quantiles
        (3, pred_len): p10, p50 and p90 of close.
    actual
        (pred_len,) actual closes, NaN where none is known.
    last_close
        Close of the last candle that the forecast saw; NaN where unknown.
    calibrated
        Calibrated p10 and p90, (pred_len,) each, if there are any.
    paths
        (sample_count, pred_len) closes of the sample paths, if they are stored.
    """
    bands = np.asarray(quantiles, dtype=np.float64)
    closes = np.asarray(actual, dtype=np.float64)
    low, middle, high = bands
    unknown = np.full(len(closes), np.nan)
    return StepScores(
        actual=closes,
        covered=covered(low, high, closes),
        covered_calibrated=unknown if calibrated is None else covered(*calibrated, closes),
        pinball=pinball(bands, closes, np.array(LEVELS)[:, None]).mean(axis=0),
        abs_error=np.abs(closes - middle),
        direction_hit=direction_hit(middle, closes, last_close),
        crps=unknown if paths is None else fair_crps(paths, closes),
    )


def covered(low: ArrayLike, high: ArrayLike, actual: ArrayLike) -> Float64Array:
    """Return 1 where low ≤ actual ≤ high, 0 where not, NaN where one of them is NaN."""
    bottom, top, close = (np.asarray(values, dtype=np.float64) for values in (low, high, actual))
    inside = (bottom <= close) & (close <= top)
    return np.where(np.isnan(bottom + top + close), np.nan, inside)


def pinball(quantile: ArrayLike, actual: ArrayLike, level: ArrayLike) -> Float64Array:
    """Return the pinball (quantile) loss, price units: max(τ·(y − q), (τ − 1)·(y − q)).

    Koenker and Bassett, "Regression quantiles", Econometrica 46 (1978). Its expectation is smallest where q
    is the τ-quantile of y.

    Parameters
    ----------
    quantile, actual, level
        q, y and τ (between 0 and 1), of shapes that broadcast.
    """
    tau = np.asarray(level, dtype=np.float64)
    over = np.asarray(actual, dtype=np.float64) - np.asarray(quantile, dtype=np.float64)
    return np.asarray(np.maximum(tau * over, (tau - 1.0) * over))


def direction_hit(forecast: ArrayLike, actual: ArrayLike, start: float) -> Float64Array:
    """Return 1 where forecast and actual lie on the same side of `start`, 0 where on different ones.

    NaN where either equals `start` or is unknown, because it then has no direction.
    """
    expected_sign = np.sign(np.asarray(forecast, dtype=np.float64) - start)
    actual_sign = np.sign(np.asarray(actual, dtype=np.float64) - start)
    unknown = np.isnan(expected_sign + actual_sign) | (expected_sign * actual_sign == 0)
    return np.where(unknown, np.nan, expected_sign == actual_sign)


def fair_crps(paths: ArrayLike, actual: ArrayLike) -> Float64Array:
    """Return the fair continuous ranked probability score, price units.

    Σ|xᵢ − y| / m − Σᵢⱼ|xᵢ − xⱼ| / (2·m·(m − 1)): unlike the plain ensemble score (divisor 2·m²) its
    expectation does not depend on the number of paths m, so that 20 paths and 100 can be compared. Ferro,
    "Fair scores for ensemble forecasts", Q. J. R. Meteorol. Soc. 140 (2014). It may be below 0.

    Parameters
    ----------
    paths
        (m, n), m ≥ 2.
    actual
        (n,).

    Raises
    ------
    ValueError
        `paths` has fewer rows, for which the score is not defined.
    """
    members = np.sort(np.asarray(paths, dtype=np.float64), axis=0)
    count = len(members)
    if members.ndim != 2 or count < FEWEST_PATHS:
        raise ValueError(f"paths of shape {members.shape} given; expected (sample_count ≥ {FEWEST_PATHS}, n)")
    error = np.abs(members - np.asarray(actual, dtype=np.float64)).mean(axis=0)
    # Over sorted values Σᵢⱼ|xᵢ − xⱼ| = 2·Σᵢ (2i − m + 1)·xᵢ, i from 0: no m × m differences.
    weights = 2.0 * np.arange(count) - count + 1.0
    return np.asarray(error - weights @ members / (count * (count - 1)))


def lognormal_crps(median: ArrayLike, sigma: ArrayLike, actual: ArrayLike) -> Float64Array:
    """Return the CRPS, price units, of a forecast whose log price is normal.

    Baran and Lerch, "Log-normal distribution based ensemble model output statistics models for probabilistic
    wind-speed forecasting", Q. J. R. Meteorol. Soc. 141 (2015).

    Parameters
    ----------
    median
        Of the price, above 0.
    sigma
        Standard deviation of the log price; 0 gives the absolute error.
    actual
        Of any sign; all three of shapes that broadcast.
    """
    median, sigma, actual = np.broadcast_arrays(
        *(np.asarray(values, dtype=np.float64) for values in (median, sigma, actual))
    )
    spread = np.where(sigma == 0, 1.0, sigma)
    ratio = actual / median
    beyond = np.where(np.isnan(ratio), np.nan, -np.inf)  # no probability lies at zero and below
    z = np.log(ratio, out=beyond, where=ratio > 0) / spread
    mean = median * np.exp(spread**2 / 2)
    score = actual * (2 * normal_cdf(z) - 1) - 2 * mean * (
        normal_cdf(z - spread) + normal_cdf(spread / math.sqrt(2)) - 1
    )
    return np.where(sigma == 0, np.abs(actual - median), score)


def normal_crps(median: ArrayLike, sigma: ArrayLike, actual: ArrayLike) -> Float64Array:
    """Return the CRPS, price units, of a forecast whose price is normal.

    σ·(z·(2Φ(z) − 1) + 2φ(z) − 1/√π) with z = (y − μ)/σ: Gneiting and Raftery, "Strictly proper scoring rules,
    prediction, and estimation", JASA 102 (2007), equation 21.

    Parameters
    ----------
    median
        Of the price, of any sign.
    sigma
        Standard deviation of the price; 0 gives the absolute error.
    actual
        All three of shapes that broadcast.
    """
    median, sigma, actual = np.broadcast_arrays(
        *(np.asarray(values, dtype=np.float64) for values in (median, sigma, actual))
    )
    z = (actual - median) / np.where(sigma == 0, 1.0, sigma)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    score = sigma * (z * (2 * normal_cdf(z) - 1) + 2 * density - 1 / math.sqrt(math.pi))
    return np.asarray(np.where(sigma == 0, np.abs(actual - median), score))


def normal_cdf(z: Float64Array) -> Float64Array:
    """Return the standard normal distribution function of an array of any shape."""
    # NumPy has no error function, and SciPy is not a dependency for one function.
    return np.asarray((1 + np.vectorize(math.erf, otypes=[np.float64])(z / math.sqrt(2))) / 2)
