"""Averages scores overall, and by symbol, step, release, event day and the events active at the forecast."""

from collections.abc import Sequence
from typing import Final

import polars as pl

SHOWN_STEPS: Final = (1, 6, 24, 120)
BASIS_POINTS: Final = 1e4

FIGURES: Final = (
    "forecasts", "closes", "coverage", "coverage_before", "coverage_calibrated", "pinball", "crps", "mae",
    "direction",
)  # fmt: skip

BASIS_POINT: Final = pl.when(pl.col("last_close") > 0).then(pl.col("last_close") / BASIS_POINTS)
"""Price of a basis point of the last close; null where that is not above 0, or unknown."""


def summary(steps: pl.DataFrame, unit: pl.Expr = BASIS_POINT) -> pl.DataFrame:
    """Return the figures of each model, overall and in every split.

    Parameters
    ----------
    steps
        As `flows.scoring.steps.steps_of` returns them.
    unit
        Price of one unit of errors, by row, since prices of different symbols can't be averaged; rows where
        it is null have no errors.

    Returns
    -------
    polars.DataFrame
        model, split, value, then `FIGURES`: how many forecasts and known closes, the share of closes within
        p10–p90 of all and, before and after, of those with a calibrated envelope, mean pinball loss, CRPS and
        absolute error of p50 in units, and the share of right directions. Null where no close is known. The
        splits, in this order: all; symbol; step (of `SHOWN_STEPS`, and the last); release (on the step's
        candle; "none"); day ("event" or "quiet"); made under (an event active when the forecast was made;
        "none").
    """
    known = steps.filter(pl.col("actual").is_not_null())
    releases = known.filter(pl.col("step_events").is_not_null()).with_columns(
        pl.when(pl.col("step_events") == "")
        .then(pl.lit("none"))
        .otherwise("step_events")
        .str.split(",")
        .alias("kind")
    )
    active = known.with_columns(
        pl.when(pl.col("events_active").list.len() > 0)
        .then("events_active")
        .otherwise(pl.lit(["none"], dtype=pl.List(pl.String())))
        .alias("kind")
    )
    shown = known.filter(pl.col("step").is_in(SHOWN_STEPS) | (pl.col("step") == pl.col("step").max()))
    days = known.filter(pl.col("event_day").is_not_null()).with_columns(
        day=pl.when("event_day").then(pl.lit("event")).otherwise(pl.lit("quiet"))
    )
    return pl.concat(
        [
            _figures(known.with_columns(value=pl.lit("")), "all", unit),
            _figures(known.with_columns(value="symbol"), "symbol", unit),
            _figures(shown.with_columns(value="step"), "step", unit),
            _figures(releases.explode("kind").with_columns(value="kind"), "release", unit),
            _figures(days.with_columns(value="day"), "day", unit),
            _figures(active.explode("kind").with_columns(value="kind"), "made under", unit),
        ]
    )


def _figures(steps: pl.DataFrame, split: str, unit: pl.Expr) -> pl.DataFrame:
    """Return the figures by model and by the column `value`, sorted by it."""
    return (
        steps.group_by("model", "value")
        .agg(
            forecasts=pl.struct("symbol", "as_of").n_unique().cast(pl.Int64),
            closes=pl.len().cast(pl.Int64),
            coverage=pl.col("covered").mean(),
            coverage_before=pl.col("covered").filter(pl.col("covered_calibrated").is_not_null()).mean(),
            coverage_calibrated=pl.col("covered_calibrated").mean(),
            pinball=(pl.col("pinball") / unit).mean(),
            crps=(pl.col("crps") / unit).mean(),
            mae=(pl.col("abs_error") / unit).mean(),
            direction=pl.col("direction_hit").mean(),
        )
        .sort("model", "value")
        .select("model", pl.lit(split).alias("split"), pl.col("value").cast(pl.String), *FIGURES)
    )


def beside(table: pl.DataFrame, model: str, baseline: str, figures: Sequence[str]) -> pl.DataFrame:
    """Return the rows of a model with some figures of a baseline in columns named ``baseline_…``."""
    other = table.filter(pl.col("model") == baseline).select(
        "split", "value", *(pl.col(name).alias(f"baseline_{name}") for name in figures)
    )
    own = table.filter(pl.col("model") == model)
    return own.join(other, on=["split", "value"], how="left", maintain_order="left")
