"""Returns scores as the rows of tables, and learned calibrations as sentences."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from flows.scoring.calibration import Calibration
from flows.scoring.calibration_store import LearnedCalibration
from flows.scoring.splits import SHOWN_STEPS

_HEADINGS: Final = {
    "forecasts": "forecasts",
    "closes": "closes",
    "coverage": "coverage, %",
    "coverage_before": "of those calibrated: raw, %",
    "coverage_calibrated": "calibrated, %",
    "pinball": "pinball, bp",
    "crps": "CRPS, bp",
    "mae": "MAE, bp",
    "direction": "direction, %",
}


def score_table(table: pl.DataFrame) -> list[dict[str, Any]]:
    """Return `flows.scoring.splits.summary` as the rows of a table, unknown figures as a dash."""
    several = table["model"].n_unique() > 1
    return [
        ({"model": row["model"]} if several else {})
        | {"split": row["split"], "value": row["value"]}
        | {heading: figure_text(name, row[name]) for name, heading in _HEADINGS.items()}
        for row in table.to_dicts()
    ]


def figure_text(name: str, value: float | None, digits: int = 1) -> str:
    """Return one figure as text: shares in percent, counts as integers, others with so many digits."""
    if value is None:
        return "–"
    if name in ("forecasts", "closes"):
        return f"{value:,}"
    return f"{value * 100:.1f}" if name.startswith(("coverage", "direction")) else f"{value:.{digits}f}"


def calibration_lines(learned: Sequence[LearnedCalibration]) -> list[str]:
    """Return a sentence for each calibration that was learned."""
    return [
        f"Learned for {group.model_name}, {group.asset_class}: "
        + "; ".join(
            f"step {step}: p10 down {low:.2f}, p90 up {high:.2f} widths ({count} closes)"
            for step, low, high, count in _shown_steps(group.calibration)
        )
        for group in learned
    ]


def _shown_steps(calibration: Calibration) -> list[tuple[int, float, float, int]]:
    """Return step, low, high and count of the learned steps among `SHOWN_STEPS`, and of the last one."""
    steps = np.flatnonzero(np.isfinite(calibration.low)) + 1
    return [
        (
            step,
            float(calibration.low[step - 1]),
            float(calibration.high[step - 1]),
            int(calibration.counts[step - 1]),
        )
        for step in steps.tolist()
        if step in SHOWN_STEPS or step == steps[-1]
    ]


def comparison(row: Mapping[str, Any], figure: str) -> str:
    """Return a model's figure over the baseline's, such as 0.93; a dash where either is unknown."""
    own, baseline = row[figure], row[f"baseline_{figure}"]
    return f"{own / baseline:.2f}" if own is not None and baseline else "–"
