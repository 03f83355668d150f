"""Writes figures as text, for the terminal and the report."""

import math

from flows.evaluation.correlations import Coefficient
from flows.evaluation.estimates import Estimate
from flows.evaluation.evaluation import Evaluation


def costs(evaluation: Evaluation) -> str:
    """Return what a change of a position costs, such as ``5 bp of the value traded``."""
    settings, differences = evaluation.settings, evaluation.price_differences
    parts = []
    if len(differences) < len(evaluation.symbols):
        parts.append(f"{settings.cost_bp:g} bp of the value traded")
    if differences:
        ticks = f"{settings.cost_ticks:g} tick" + ("" if settings.cost_ticks == 1 else "s")
        parts.append(f"{ticks} where moves are price differences")
    return " and ".join(parts)


def number(value: float, digits: int = 3, *, sign: bool = False) -> str:
    """Return a number with some digits after the point, a dash if it is unknown."""
    if not math.isfinite(value):
        return "–"
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"


def with_interval(estimate: Estimate, digits: int = 3, *, scale: float = 1.0, sign: bool = False) -> str:
    """Return a figure times `scale` with its interval, such as ``0.987 (0.970–1.004)``."""
    value, low, high = (
        number(part * scale, digits, sign=sign) for part in (estimate.value, estimate.low, estimate.high)
    )
    return value if low == "–" else f"{value} ({low}{' to ' if sign else '–'}{high})"


def with_t(coefficient: Coefficient) -> str:
    """Return a correlation with its t statistic, where it is known, such as ``+0.021 (t 1.4)``."""
    value = number(coefficient.estimate.value, 3, sign=True)
    return value if not math.isfinite(coefficient.t) else f"{value} (t {coefficient.t:.1f})"
