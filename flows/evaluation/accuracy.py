"""Compares a model's scores with those of each baseline: by step, by month and by symbol."""

import msgspec
import numpy as np

from flows.evaluation.estimates import BlockBootstrap, Estimate, block_length
from flows.evaluation.panel import Panel
from market.types import BoolArray, Float64Array


class ModelFigures(msgspec.Struct, frozen=True):
    """A model's mean figures, overall and by step from 1.

    Losses and widths are in units of the evaluation.
    """

    model: str
    overall_coverage: Estimate
    overall_crps: Estimate
    coverage: list[Estimate]
    crps: list[Estimate]
    pinball: list[Estimate]
    width: list[Estimate]


class Comparison(msgspec.Struct, frozen=True):
    """A model's figures over a baseline's, from the closes that both have a figure for.

    Attributes
    ----------
    overall_crps, overall_pinball
        Mean score over all steps and symbols over that of the baseline; below 1 the model is better.
    crps, pinball, width
        The same ratio by step, from 1; `width` of p10–p90.
    coverage_difference
        The model's coverage minus the baseline's, by step.
    crps_by_symbol, crps_by_month
        Ratio of the CRPS over all steps; months are those of the forecasts' instants, such as ``2024-02``.
        That of a symbol averages the CRPS over the last close, or in price units where moves are differences,
        whatever other symbols there are.
    """

    baseline: str
    overall_crps: Estimate
    overall_pinball: Estimate
    crps: list[Estimate]
    pinball: list[Estimate]
    width: list[Estimate]
    coverage_difference: list[Estimate]
    crps_by_symbol: dict[str, Estimate]
    crps_by_month: dict[str, Estimate]


def model_figures(panel: Panel, bootstrap: BlockBootstrap, model: str) -> ModelFigures:
    """Return a model's means with block bootstrap intervals."""
    scores = panel.scores[model]
    one = np.ones_like(panel.actual_move)
    return ModelFigures(
        model=model,
        overall_coverage=ratio(panel, bootstrap, scores.covered, one),
        overall_crps=ratio(panel, bootstrap, scores.crps, one),
        coverage=ratio_by_step(panel, bootstrap, scores.covered, one),
        crps=ratio_by_step(panel, bootstrap, scores.crps, one),
        pinball=ratio_by_step(panel, bootstrap, scores.pinball, one),
        width=ratio_by_step(panel, bootstrap, scores.width, one),
    )


def comparison(panel: Panel, bootstrap: BlockBootstrap, baseline: str, seed: int) -> Comparison:
    """Compare the panel's model with a baseline; `seed` is that of the resamples within a month."""
    own, other = panel.scores[panel.model], panel.scores[baseline]
    one = np.ones_like(panel.actual_move)
    return Comparison(
        baseline=baseline,
        overall_crps=ratio(panel, bootstrap, own.crps, other.crps),
        overall_pinball=ratio(panel, bootstrap, own.pinball, other.pinball),
        crps=ratio_by_step(panel, bootstrap, own.crps, other.crps),
        pinball=ratio_by_step(panel, bootstrap, own.pinball, other.pinball),
        width=ratio_by_step(panel, bootstrap, own.width, other.width),
        coverage_difference=ratio_by_step(panel, bootstrap, own.covered - other.covered, one),
        crps_by_symbol=_ratio_by_symbol(panel, bootstrap, own.crps, other.crps),
        crps_by_month=_ratio_by_month(panel, own.crps, other.crps, seed),
    )


def ratio_by_step(
    panel: Panel, bootstrap: BlockBootstrap, above: Float64Array, below: Float64Array
) -> list[Estimate]:
    """Return the ratio of two mean scores by step, over the closes that both have; a mean for `below` = 1.

    Parameters
    ----------
    above, below
        (windows, steps), NaN being unknown.
    """
    both = np.isfinite(above) & np.isfinite(below)
    upper, lower = (panel.by_instant(np.where(both, values, 0.0)) for values in (above, below))
    return bootstrap.ratios(upper, lower, both.sum(axis=0))


def ratio(
    panel: Panel,
    bootstrap: BlockBootstrap,
    above: Float64Array,
    below: Float64Array,
    among: BoolArray | None = None,
) -> Estimate:
    """Return the ratio of two mean scores over all closes that both have, or over those of a mask.

    Parameters
    ----------
    above, below
        (windows, steps), NaN being unknown.
    among
        A mask that broadcasts to (windows, steps).
    """
    both = np.isfinite(above) & np.isfinite(below) & (True if among is None else among)
    (estimate,) = bootstrap.ratios(*_sums(panel, above, below, both), [int(both.sum())])
    return estimate


def _ratio_by_symbol(
    panel: Panel, bootstrap: BlockBootstrap, above: Float64Array, below: Float64Array
) -> dict[str, Estimate]:
    both = np.isfinite(above) & np.isfinite(below)
    sums = np.zeros((2, len(panel.instants), len(panel.symbols)))
    for part, values in zip(sums, (above, below), strict=True):
        part[panel.instant, panel.symbol] = np.where(both, values, 0.0).sum(axis=1) / panel.scale
    counts = np.bincount(panel.symbol, weights=both.sum(axis=1)).astype(np.int64)
    return dict(zip(panel.symbols, bootstrap.ratios(sums[0], sums[1], counts), strict=True))


def _sums(
    panel: Panel, above: Float64Array, below: Float64Array, mask: BoolArray
) -> tuple[Float64Array, Float64Array]:
    """Return the sums of both in a mask by instant, (T, 1) each."""
    upper, lower = (np.where(mask, values, 0.0).sum(axis=1, keepdims=True) for values in (above, below))
    return panel.by_instant(upper), panel.by_instant(lower)


def _ratio_by_month(panel: Panel, above: Float64Array, below: Float64Array, seed: int) -> dict[str, Estimate]:
    """Return the ratio in each month, with the instants of that month resampled."""
    months = panel.instants.astype("datetime64[M]")
    both = np.isfinite(above) & np.isfinite(below)
    upper, lower = _sums(panel, above, below, both)
    closes = panel.by_instant(both.sum(axis=1, keepdims=True).astype(np.float64))
    found = {}
    for month in np.unique(months):
        inside = months == month
        count = int(inside.sum())
        bootstrap = BlockBootstrap(count, block_length(count, panel.instants_per_horizon), seed)
        (estimate,) = bootstrap.ratios(upper[inside], lower[inside], [int(closes[inside].sum())])
        found[str(month)] = estimate
    return found
