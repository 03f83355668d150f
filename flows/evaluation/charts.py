"""Draws the charts of the report with Matplotlib."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Final

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flows.evaluation.accuracy import ModelFigures
from flows.evaluation.calibration import BINS, Calibration
from flows.evaluation.estimates import Estimate
from flows.evaluation.evaluation import Evaluation
from market.envelope import LEVELS
from market.types import Float64Array

_GUIDE: Final = "#8a8a8a"
_COLOURS: Final = ("#23527c", "#c05a00", "#2e7d4f", "#7b4ba0", "#b03060")
_NOMINAL: Final = LEVELS[2] - LEVELS[0]
_MOST_SYMBOLS: Final = 40


def charts(evaluation: Evaluation) -> dict[str, str]:
    """Return the charts of a report as SVG documents, by name; those without figures are left out."""
    figures = {
        "crps_by_step": _crps_by_step(evaluation),
        "coverage": _coverage(evaluation),
        "crps_by_month": _crps_by_month(evaluation),
        "crps_by_symbol": _crps_by_symbol(evaluation),
    }
    if math.isfinite(evaluation.calibrations[0].pit_histogram[0].value):
        figures["pit"] = _pit_histogram(evaluation.calibrations)
        figures["reliability"] = _reliability(evaluation.calibrations[0])
    if evaluation.event_effects:
        figures["releases"] = _releases(evaluation)
    return {name: svg(figure) for name, figure in figures.items()}


def svg(figure: Figure) -> str:
    """Return a figure as an SVG document, the same for the same figure."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "kronos"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _axes(x: str, y: str, *, wide: bool = False) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(10.4 if wide else 5.2, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def _arrays(estimates: Sequence[Estimate]) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return values, lows and highs, (n,) each."""
    table = np.array([(each.value, each.low, each.high) for each in estimates], dtype=np.float64)
    return table[:, 0], table[:, 1], table[:, 2]


def _band(axes: Axes, x: Sequence[float], estimates: Sequence[Estimate], colour: str, label: str) -> None:
    """Draw a line with the band of its intervals, where there are any."""
    value, low, high = _arrays(estimates)
    if not np.isfinite(value).any():
        return
    axes.plot(x, value, color=colour, label=label, marker="o" if len(x) == 1 else None, linewidth=1.6)
    axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)


def _points(axes: Axes, x: Float64Array, estimates: Sequence[Estimate], colour: str, label: str) -> None:
    """Draw points with their intervals, where there are any."""
    value, low, high = _arrays(estimates)
    axes.plot(x, value, "o", color=colour, label=label, markersize=4)
    axes.vlines(x, low, high, color=colour, linewidth=1.4)


def _legend(axes: Axes, *, columns: int = 1) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8, ncols=columns)


def _crps_by_step(evaluation: Evaluation) -> Figure:
    figure, axes = _axes("step", "CRPS over the baseline's")
    axes.axhline(1, color=_GUIDE, linewidth=0.8)
    for each, colour in zip(evaluation.comparisons, _COLOURS, strict=False):
        _band(axes, range(1, len(each.crps) + 1), each.crps, colour, each.baseline)
    _legend(axes)
    return figure


def _coverage(evaluation: Evaluation) -> Figure:
    """Draw the coverage of each model that has an envelope with a width."""
    figure, axes = _axes("step", "share of closes within p10–p90")
    axes.axhline(_NOMINAL, color=_GUIDE, linewidth=0.8)
    for each, colour in zip(_with_width(evaluation.models), _COLOURS, strict=False):
        _band(axes, range(1, len(each.coverage) + 1), each.coverage, colour, each.model)
    axes.set_ylim(0, 1)
    _legend(axes)
    return figure


def _with_width(models: Sequence[ModelFigures]) -> list[ModelFigures]:
    return [each for each in models if any(width.value > 0 for width in each.width)]


def _pit_histogram(calibrations: Sequence[Calibration]) -> Figure:
    figure, axes = _axes("probability integral transform of the close", "share of closes")
    axes.axhline(1 / BINS, color=_GUIDE, linewidth=0.8)
    centres = (np.arange(BINS) + 0.5) / BINS
    own, *others = calibrations
    value, low, high = _arrays(own.pit_histogram)
    axes.bar(centres, value, width=0.9 / BINS, color=_COLOURS[0], alpha=0.6, label=own.model)
    axes.vlines(centres, low, high, color=_COLOURS[0], linewidth=1.4)
    for each, colour in zip(others, _COLOURS[1:], strict=False):
        axes.step(
            np.linspace(0, 1, BINS + 1),
            np.append(_arrays(each.pit_histogram)[0], each.pit_histogram[-1].value),
            where="post",
            color=colour,
            linewidth=1.4,
            label=each.model,
        )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.25 * np.nanmax([value, high]))  # room above the bars for the legend
    _legend(axes, columns=2)
    return figure


def _reliability(calibration: Calibration) -> Figure:
    figure, axes = _axes("share of closes that should lie below", "share that does")
    axes.plot([0, 1], [0, 1], color=_GUIDE, linewidth=0.8)
    for (step, shares), colour in zip(calibration.reliability.items(), _COLOURS, strict=False):
        _band(axes, calibration.levels, shares, colour, f"step {step}")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    _legend(axes)
    return figure


def _crps_by_month(evaluation: Evaluation) -> Figure:
    return _crps_by_group({each.baseline: each.crps_by_month for each in evaluation.comparisons}, "month")


def _crps_by_symbol(evaluation: Evaluation) -> Figure:
    """Draw the symbols, or those of the best and of the worst ratios where there are too many."""
    names = sorted(evaluation.symbols, key=lambda name: evaluation.comparisons[0].crps_by_symbol[name].value)
    label = "symbol"
    if len(names) > _MOST_SYMBOLS:
        half = _MOST_SYMBOLS // 2
        label = f"symbol: the {half} lowest and the {half} highest of {len(names):,}"
        names = [*names[:half], *names[-half:]]
    return _crps_by_group(
        {
            each.baseline: {name: each.crps_by_symbol[name] for name in names}
            for each in evaluation.comparisons
        },
        label,
    )


def _crps_by_group(ratios: Mapping[str, Mapping[str, Estimate]], label: str) -> Figure:
    """Draw the CRPS over each baseline's in groups, such as months."""
    figure, axes = _axes(label, "CRPS over the baseline's", wide=True)
    axes.axhline(1, color=_GUIDE, linewidth=0.8)
    names = list(next(iter(ratios.values())))
    places = np.arange(len(names), dtype=np.float64)
    for number, (baseline, groups) in enumerate(ratios.items()):
        shifted = places + 0.14 * (number - (len(ratios) - 1) / 2)
        _points(axes, shifted, list(groups.values()), _COLOURS[number], baseline)
    axes.set_xticks(places, names, rotation=90 if len(names) > 12 else 0, fontsize=8)
    axes.set_xlim(-0.5, len(names) - 0.5)
    _legend(axes)
    return figure


def _releases(evaluation: Evaluation) -> Figure:
    """Draw the width of the envelope at releases, with events and without."""
    figure, axes = _axes("the candle has", "width over the random walk's", wide=True)
    axes.axhline(1, color=_GUIDE, linewidth=0.8)
    effects = [
        each for each in evaluation.event_effects if each.group not in ("all", "event day", "quiet day")
    ]
    places = np.arange(len(effects), dtype=np.float64)
    _points(axes, places - 0.08, [each.width_with for each in effects], _COLOURS[0], "with events")
    _points(axes, places + 0.08, [each.width_without for each in effects], _COLOURS[1], "without events")
    axes.set_xticks(places, [f"{each.group}\n{each.crps_ratio.n:,} closes" for each in effects], fontsize=8)
    axes.set_ylim(bottom=0)
    _legend(axes)
    return figure
