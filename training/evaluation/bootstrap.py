"""Computes means and ratios with bootstrap intervals, and writes them as Markdown tables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from market.types import Float64Array
from training.data.stretches import TrainingError

DRAWS: Final = 2000
"""Resamples of the cases for an interval."""


@dataclass(frozen=True)
class Figure:
    """One measured figure with its 95 % percentile bootstrap interval over n cases."""

    name: str
    value: float
    low: float
    high: float
    n: int

    def row(self) -> str:
        """Return the figure as a row of the Markdown table."""
        return (
            f"| {self.name} | {_short(self.value)} | {_short(self.low)} to {_short(self.high)} | {self.n} |"
        )


def mean(name: str, values: ArrayLike) -> Figure:
    """Return the mean of (n,) values; NaN for n = 0, which the table shows as a dash.

    Raises
    ------
    TrainingError
        A value is NaN or infinite, so the model that made it is broken.
    """
    return _statistic(name, np.asarray(values, np.float64), lambda cases: float(cases.mean()))


def share(name: str, hits: ArrayLike) -> Figure:
    """Return the share of (n,) booleans that are true."""
    return mean(name, np.asarray(hits, np.float64))


def paired_ratio(name: str, numerators: ArrayLike, denominators: ArrayLike) -> Figure:
    """Return the mean of (n,) values over the mean of (n,) others of the same cases."""
    pairs = np.stack([np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)], axis=1)
    return _statistic(name, pairs, lambda cases: float(cases[:, 0].mean() / cases[:, 1].mean()))


def _statistic(name: str, cases: Float64Array, statistic: Callable[[Float64Array], float]) -> Figure:
    if not len(cases):
        return Figure(name, np.nan, np.nan, np.nan, 0)
    broken = ~np.isfinite(cases)
    if broken.any():
        raise TrainingError(f"{name}: {int(broken.sum())} of {cases.size} values are NaN or infinite")
    rng = np.random.default_rng(0)
    draws = [statistic(cases[rng.integers(len(cases), size=len(cases))]) for _ in range(DRAWS)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return Figure(name, statistic(cases), float(low), float(high), len(cases))


def table(title: str, figures: Sequence[Figure]) -> str:
    """Return a Markdown table of figures under a title."""
    head = f"**{title}**\n\n| figure | value | 95 % interval | n |\n|---|---|---|---|\n"
    return head + "\n".join(figure.row() for figure in figures) + "\n"


def _short(value: float) -> str:
    return "–" if not np.isfinite(value) else f"{value:.4g}" if abs(value) < 0.1 else f"{value:.3f}"
