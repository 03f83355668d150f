"""Computes information coefficients: correlations of the expected with the actual move.

A move is a return, or a price difference where the price may be zero or negative; the expected one is the
median's. IC is Pearson's correlation, RankIC Spearman's (Grinold and Kahn, "Active portfolio management", 2nd
edition (2000), chapters 6 and 16). All of them use windows that don't overlap.
"""

import math
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from flows.evaluation import non_overlapping
from flows.evaluation.estimates import NORMAL_95, UNKNOWN, Estimate, mean, t_of_mean
from flows.evaluation.panel import Panel
from market.types import Float64Array, Int64Array

FEWEST_SYMBOLS: Final = 5
"""Symbols with a forecast at an instant for a correlation across them."""

FEWEST_WINDOWS: Final = 10
"""Windows of a symbol for a correlation over time."""


class Coefficient(msgspec.Struct, frozen=True):
    """A correlation with its t statistic; NaN (null in JSON) where there are too few windows."""

    estimate: Estimate
    t: float


NO_COEFFICIENT: Final = Coefficient(UNKNOWN, math.nan)


class InformationCoefficients(msgspec.Struct, frozen=True):
    """IC and RankIC of one step, from 1; `n` of the estimates counts windows, or instants across symbols."""

    step: int
    ic: Coefficient
    rank_ic: Coefficient


def across_symbols(panel: Panel, step: int) -> InformationCoefficients:
    """Return the mean over instants of the correlation across symbols.

    Of moves in the panel's unit, at instants with at least `FEWEST_SYMBOLS`. The t statistic is that of the
    mean of these correlations, as Fama and MacBeth, "Risk, return, and equilibrium", Journal of Political
    Economy 81 (1973), do with slopes.
    """
    known = [_known(panel, rows, step) for rows in non_overlapping.all_symbols(panel, step)]
    pairs = [_pair(panel, rows, step) * panel.scale[rows] for rows in known if len(rows) >= FEWEST_SYMBOLS]
    series = ([pearson(*pair) for pair in pairs], [spearman(*pair) for pair in pairs])
    finite = [np.array(values)[np.isfinite(values)] if values else np.array([]) for values in series]
    plain, ranked = (Coefficient(mean(values), t_of_mean(values)) for values in finite)
    return InformationCoefficients(step, plain, ranked)


def over_time(panel: Panel, step: int, symbols: Sequence[int]) -> InformationCoefficients:
    """Return the mean over symbols of the correlation over time, weighted by their windows.

    The errors allow for two facts of markets. Expected and actual moves are large at the same times, so the
    products of standardised moves are the observations, whatever their variances (White, "A
    heteroskedasticity-consistent covariance matrix estimator", Econometrica 48 (1980)); Fisher's interval of
    a correlation holds the truth in 85 % of cases where volatility varies fourfold. And symbols move
    together, so the windows of one instant are one observation (Liang and Zeger, "Longitudinal data analysis
    using generalized linear models", Biometrika 73 (1986)).

    Parameters
    ----------
    symbols
        Indices into `Panel.symbols`; those with fewer than `FEWEST_WINDOWS` do not count.
    """
    products: tuple[list[Float64Array], list[Float64Array]] = ([], [])
    instants: tuple[list[Int64Array], list[Int64Array]] = ([], [])
    for symbol in symbols:
        rows = _known(panel, non_overlapping.of_symbol(panel, symbol, step), step)
        expected, actual = _pair(panel, rows, step)
        for number, (x, y) in enumerate(((expected, actual), (ranks(expected), ranks(actual)))):
            if len(rows) >= FEWEST_WINDOWS and np.ptp(x) > 0 and np.ptp(y) > 0:
                products[number].append((x - x.mean()) * (y - y.mean()) / (x.std() * y.std()))
                instants[number].append(panel.instant[rows])
    plain, ranked = (_clustered(*parts) for parts in zip(products, instants, strict=True))
    return InformationCoefficients(step, plain, ranked)


def pearson(x: Float64Array, y: Float64Array) -> float:
    """Return the correlation of two (n,) samples; NaN where one does not vary."""
    if len(x) < 2 or not (np.ptp(x) > 0 and np.ptp(y) > 0):
        return math.nan
    return float(np.corrcoef(x, y)[0, 1])


def spearman(x: Float64Array, y: Float64Array) -> float:
    """Return the correlation of the ranks of two (n,) samples; NaN where one does not vary."""
    return pearson(ranks(x), ranks(y))


def ranks(values: Float64Array) -> Float64Array:
    """Return the ranks of (n,) values from 1; equal values share the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place], dtype=np.float64)


def _known(panel: Panel, rows: Int64Array, step: int) -> Int64Array:
    """Return the windows among some whose actual move is known."""
    known: Int64Array = rows[np.isfinite(panel.actual_move[rows, step - 1])]
    return known


def _pair(panel: Panel, rows: Int64Array, step: int) -> Float64Array:
    """Return the expected and the actual moves of windows, (2, n)."""
    expected = panel.scores[panel.model].expected_move
    return np.stack([expected[rows, step - 1], panel.actual_move[rows, step - 1]])


def _clustered(products: list[Float64Array], instants: list[Int64Array]) -> Coefficient:
    """Return the mean of products of standardised moves; those of one instant are one observation."""
    if not products:
        return NO_COEFFICIENT
    values, cluster = np.concatenate(products), np.concatenate(instants)
    value, n = float(values.mean()), len(values)
    totals = np.bincount(cluster, weights=values - value)
    error = math.sqrt(float((totals**2).sum())) / n
    reach = NORMAL_95 * error
    return Coefficient(
        Estimate(value, value - reach, value + reach, n), value / error if error > 0 else math.nan
    )
