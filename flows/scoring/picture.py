"""Draws a model's reliability: the share of closes below its quantiles, and within its envelope by step."""

import base64
from collections.abc import Sequence
from io import BytesIO
from typing import Final

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flows.scoring.splits import SHOWN_STEPS
from market.envelope import LEVELS
from market.types import Float64Array

RAW, CALIBRATED, GUIDE = "#23527c", "#c05a00", "#999999"
_LINES: Final = ("-", "--", "-.", ":", "-")
_NAMES: Final = ("p10", "p50", "p90")


def reliability_picture(steps: pl.DataFrame, title: str) -> Figure:
    """Draw the reliability of forecasts.

    Left: the share of closes below p10, p50 and p90 against the nominal share. On the diagonal a forecast
    is reliable; a flatter line means that its envelope is too narrow. Right: the share within p10–p90.

    Parameters
    ----------
    steps
        Of one model, as `flows.scoring.steps.steps_of` returns them, some with a known close.
    """
    known = steps.filter(pl.col("actual").is_not_null())
    figure = Figure(figsize=(11, 5), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=11)
    left, right = figure.subplots(1, 2)
    _draw_levels(left, known)
    _draw_coverage(right, known)
    for axes in (left, right):
        axes.set_ylim(0, 1)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    return figure


def data_url(figure: Figure) -> str:
    """Return a picture as a ``data:`` URL, which an artifact shows without a file server."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _draw_levels(axes: Axes, known: pl.DataFrame) -> None:
    axes.plot([0, 1], [0, 1], color=GUIDE, linewidth=0.8)
    last = int(known["step"].max())  # type: ignore[arg-type]  # an integer column
    shown = sorted({step for step in SHOWN_STEPS if step < last} | {last})
    for step, line in zip(shown, _LINES, strict=False):
        part = known.filter(pl.col("step") == step)
        axes.plot(LEVELS, _shares(part, _NAMES), f"o{line}", color=RAW, markersize=4, label=f"step {step}")
        if part["p10_calibrated"].count():
            pair = _shares(part, ("p10_calibrated", "p90_calibrated"))
            label = f"step {step}, calibrated"
            axes.plot((LEVELS[0], LEVELS[2]), pair, f"o{line}", color=CALIBRATED, markersize=4, label=label)
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of closes that should lie below")
    axes.set_ylabel("share that does")


def _shares(steps: pl.DataFrame, quantiles: Sequence[str]) -> Float64Array:
    """Return the share of closes below each quantile, (quantiles,)."""
    below = [(pl.col("actual") < pl.col(name)).mean().alias(name) for name in quantiles]
    return np.array(steps.select(below).row(0), dtype=np.float64)


def _draw_coverage(axes: Axes, known: pl.DataFrame) -> None:
    widened = pl.col("covered_calibrated").is_not_null()
    by_step = known.group_by("step").agg(
        raw=pl.col("covered").mean(),
        before=pl.col("covered").filter(widened).mean(),
        calibrated=pl.col("covered_calibrated").mean(),
    )
    axes.axhline(LEVELS[2] - LEVELS[0], color=GUIDE, linewidth=0.8)
    for column, line, colour, label in (
        ("raw", "-", RAW, "raw"),
        ("before", ":", RAW, "raw, of those calibrated"),
        ("calibrated", "-", CALIBRATED, "calibrated"),
    ):
        shares = by_step.drop_nulls(column).sort("step")
        if not shares.is_empty():
            axes.plot(shares["step"].to_numpy(), shares[column].to_numpy(), line, color=colour, label=label)
    axes.set_xlabel("step")
    axes.set_ylabel("share of closes within p10–p90")
