"""Scored forecasts as a frame with one row per step, from whichever side they come."""

from typing import Any, Final

import numpy as np
import polars as pl

from market.types import Float64Array

_NUMBERS: Final = (
    "p10", "p50", "p90", "p10_calibrated", "p90_calibrated", "actual", "pinball", "abs_error", "crps",
)  # fmt: skip
_TRUTHS: Final = ("covered", "covered_calibrated", "direction_hit", "event_day")

WIDE_SCHEMA: Final[dict[str, Any]] = {
    "model": pl.String(),
    "symbol": pl.String(),
    "as_of": pl.Datetime("us", "UTC"),
    "last_close": pl.Float64(),
    "events_active": pl.List(pl.String()),
    **dict.fromkeys(_NUMBERS, pl.List(pl.Float64())),
    **dict.fromkeys(_TRUTHS, pl.List(pl.Boolean())),
    "step_events": pl.List(pl.String()),
}
"""One row per forecast, as `scored_forecasts.sql` returns them; lists have an entry per step, or are null."""

PER_STEP: Final = (*_NUMBERS, *_TRUTHS, "step_events")


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
        the releases on the step's candle, separated by commas; null where the calendar says nothing.
    """
    length = pl.col("actual").list.len()
    whole = [
        pl.when(pl.col(name).is_null())
        .then(pl.lit(None, dtype=WIDE_SCHEMA[name].inner).repeat_by(length))
        .otherwise(pl.col(name))
        .alias(name)
        for name in PER_STEP
    ]
    numbered = forecasts.with_columns(*whole, step=pl.int_ranges(1, length + 1, dtype=pl.Int32))
    return numbered.filter(length > 0).explode(*PER_STEP, "step")


def numbers(values: Float64Array) -> list[float | None]:
    """Return figures with None for NaN."""
    return [None if value != value else value for value in values.tolist()]


def truths(values: Float64Array) -> list[bool | None]:
    """Return 1, 0 and NaN as True, False and None."""
    return [None if value != value else bool(value) for value in values.tolist()]


def known(values: Float64Array) -> bool:
    """Tell whether any figure is not NaN."""
    return bool(np.isfinite(values).any())
