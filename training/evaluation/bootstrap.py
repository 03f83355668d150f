"""Figures with their bootstrap intervals, as numbers and as a Markdown table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from market.types import Float64Array
from training.data.stretches import TrainingError

DRAWS: Final = 2000


@dataclass(frozen=True)
class Figure:
    """One measured figure with its 95 % percentile bootstrap interval over n cases."""

    name: str
    value: float
    low: float
    high: float
    n: int

    def row(self) -> str:
        """A row of the table."""
        return (
            f"| {self.name} | {_short(self.value)} | {_short(self.low)} to {_short(self.high)} | {self.n} |"
        )


def mean(name: str, values: ArrayLike) -> Figure:
    """Mean of (n,) values.

    Raises
    ------
    TrainingError
        A value is no number: a model that made it is broken, and a dash in a table does not say so.
    """
    return _statistic(name, np.asarray(values, np.float64), lambda cases: float(cases.mean()))


def share(name: str, hits: ArrayLike) -> Figure:
    """Share of (n,) truths."""
    return mean(name, np.asarray(hits, np.float64))


def paired_ratio(name: str, above: ArrayLike, below: ArrayLike) -> Figure:
    """Mean of (n,) values over the mean of as many others of the same cases."""
    both = np.stack([np.asarray(above, np.float64), np.asarray(below, np.float64)], axis=1)
    return _statistic(name, both, lambda cases: float(cases[:, 0].mean() / cases[:, 1].mean()))


def _statistic(name: str, cases: Float64Array, figure: Callable[[Float64Array], float]) -> Figure:
    if not len(cases):
        return Figure(name, np.nan, np.nan, np.nan, 0)
    broken = ~np.isfinite(cases)
    if broken.any():
        raise TrainingError(f"{name}: {int(broken.sum())} of {cases.size} values are no numbers")
    rng = np.random.default_rng(0)
    drawn = [figure(cases[rng.integers(len(cases), size=len(cases))]) for _ in range(DRAWS)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Figure(name, figure(cases), float(low), float(high), len(cases))


def table(title: str, figures: Sequence[Figure]) -> str:
    """Markdown of some figures under a title."""
    head = f"**{title}**\n\n| figure | value | 95 % interval | n |\n|---|---|---|---|\n"
    return head + "\n".join(figure.row() for figure in figures) + "\n"


def _short(value: float) -> str:
    return "–" if not np.isfinite(value) else f"{value:.4g}" if abs(value) < 0.1 else f"{value:.3f}"
