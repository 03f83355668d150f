"""Scores as lists per forecast, as ``prediction_scores`` has them, and as a frame with one row per step."""

from typing import Any, Final

import numpy as np
import polars as pl

from flows.scoring.metrics import StepScores
from flows.scoring.step_events import StepEvents
from market.types import Float64Array

_NUMBERS: Final = (
    "p10", "p50", "p90", "p10_calibrated", "p90_calibrated", "actual", "pinball", "abs_error", "crps",
)  # fmt: skip
_BOOLEANS: Final = ("covered", "covered_calibrated", "direction_hit", "event_day")

WIDE_SCHEMA: Final[dict[str, Any]] = {
    "model": pl.String(),
    "symbol": pl.String(),
    "as_of": pl.Datetime("us", "UTC"),
    "last_close": pl.Float64(),
    "events_active": pl.List(pl.String()),
    **dict.fromkeys(_NUMBERS, pl.List(pl.Float64())),
    **dict.fromkeys(_BOOLEANS, pl.List(pl.Boolean())),
    "step_events": pl.List(pl.String()),
}
"""One row per forecast, as `scored_forecasts.sql` returns them; lists have an entry per step, or are null."""

PER_STEP: Final = (*_NUMBERS, *_BOOLEANS, "step_events")


def score_lists(scores: StepScores, events: StepEvents | None) -> dict[str, list[Any] | None]:
    """Return the columns of a score that have an entry per step, as ``prediction_scores`` stores them.

    Parameters
    ----------
    scores
        Unknown figures are NaN; they become None. `covered_calibrated` and `crps` become None as a whole
        where no figure is known.
    events
        Releases on the steps; None gives None for both columns.
    """
    return {
        "actual": numbers(scores.actual),
        "covered": booleans(scores.covered),
        "covered_calibrated": booleans(scores.covered_calibrated)
        if np.isfinite(scores.covered_calibrated).any()
        else None,
        "pinball": numbers(scores.pinball),
        "abs_error": numbers(scores.abs_error),
        "direction_hit": booleans(scores.direction_hit),
        "crps": numbers(scores.crps) if np.isfinite(scores.crps).any() else None,
        "step_events": None if events is None else [",".join(kinds) for kinds in events.kinds],
        "event_day": None if events is None else events.event_day.tolist(),
    }


def steps_of(forecasts: pl.DataFrame) -> pl.DataFrame:
    """Return one row per step of scored forecasts.

    Parameters
    ----------
    forecasts
        Columns of `WIDE_SCHEMA`.

    Returns
    -------
    polars.DataFrame
        The same columns, those of `PER_STEP` with one entry each, and ``step`` from 1. ``step_events`` names
        the releases on the step's candle, separated by commas; null where the calendar does not cover it.
    """
    length = pl.col("actual").list.len()
    filled = [
        pl.when(pl.col(name).is_null())
        .then(pl.lit(None, dtype=WIDE_SCHEMA[name].inner).repeat_by(length))
        .otherwise(pl.col(name))
        .alias(name)
        for name in PER_STEP
    ]
    numbered = forecasts.with_columns(*filled, step=pl.int_ranges(1, length + 1, dtype=pl.Int32))
    return numbered.filter(length > 0).explode(*PER_STEP, "step")


def numbers(values: Float64Array) -> list[float | None]:
    """Return figures with None for NaN."""
    return [None if value != value else value for value in values.tolist()]


def booleans(values: Float64Array) -> list[bool | None]:
    """Return 1, 0 and NaN as True, False and None."""
    return [None if value != value else bool(value) for value in values.tolist()]
