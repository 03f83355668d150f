"""Turns the forecasts of a back-test into a frame, a calibration of its later half, and two tables."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import numpy as np
import polars as pl
from rich import box
from rich.table import Table

from flows.backtest.baselines import RANDOM_WALK
from flows.backtest.scored import Scored, common_unit
from flows.backtest.units import DIGITS, SHORT_NAMES, Unit
from flows.scoring.calibration import Calibration, calibrate, learn
from flows.scoring.metrics import covered
from flows.scoring.score_tables import comparison, figure_text
from flows.scoring.splits import SHOWN_STEPS, beside, summary
from flows.scoring.steps import WIDE_SCHEMA, score_lists, steps_of
from market.times import instant
from market.types import Float64Array

_SHORT: Final = {"made under": "under", "rate_decision": "rates"}
_COMPARED: Final = ("coverage", "crps", "pinball", "mae")


@dataclass(frozen=True)
class Calibrated:
    """Calibrated envelopes of the later forecasts of a back-test, learned from the earlier ones.

    Attributes
    ----------
    model
        Name of the model whose forecasts these are.
    learned_by
        Forecasts that had matured by this instant were learned from; those made later are the test.
    learned, tested
        Numbers of these forecasts, of the asset classes that had enough.
    bands
        (2, pred_len) calibrated p10 and p90, by symbol and as_of.
    """

    model: str
    learned_by: datetime
    learned: int
    tested: int
    bands: dict[tuple[str, datetime], Float64Array]


def calibrate_later_half(scored: Sequence[Scored]) -> Calibrated:
    """Learn from the first half of a period and calibrate the envelopes of the second.

    Parameters
    ----------
    scored
        Forecasts of one model, at least one, all of one pred_len.
    """
    made = sorted({forecast.made_at for forecast in scored})
    middle = made[len(made) // 2]
    learned = 0
    bands: dict[tuple[str, datetime], Float64Array] = {}
    for asset_class in sorted({forecast.asset_class for forecast in scored}):
        of_class = [forecast for forecast in scored if forecast.asset_class == asset_class]
        past = [forecast for forecast in of_class if forecast.matured_at <= middle]
        if not past:
            continue
        low, _, high = np.stack([forecast.quantiles for forecast in past], axis=1)
        calibration = learn(low, high, np.stack([forecast.scores.actual for forecast in past]))
        later = [forecast for forecast in of_class if forecast.made_at >= middle]
        calibrated = {
            (forecast.symbol, forecast.as_of): np.array(band)
            for forecast in later
            if (band := _calibrated(calibration, forecast)) is not None
        }
        learned += len(past) if calibrated else 0
        bands |= calibrated
    return Calibrated(scored[0].model, middle, learned, len(bands), bands)


def _calibrated(calibration: Calibration, forecast: Scored) -> tuple[Float64Array, Float64Array] | None:
    return calibrate(calibration, *forecast.quantiles, allow_nonpositive=forecast.differences)


def frame_of(scored: Iterable[Scored], calibrated: Calibrated | None = None) -> pl.DataFrame:
    """Return one row per forecast and step, as `flows.scoring.steps.steps_of` has them.

    Further columns are the candle's ``ts``, the instant ``made_at``, ``unit`` (the price of one unit in which
    the errors of several symbols are averaged, `flows.backtest.scored.common_unit`), and ``pit_low``,
    ``pit_high`` and ``log_score`` as in `flows.backtest.distributions.DistributionScores`.

    Parameters
    ----------
    scored
        At least one.
    calibrated
        Calibrated envelopes of the model's forecasts.
    """
    forecasts = list(scored)
    rows = [_wide(forecast, calibrated) for forecast in forecasts]
    steps = steps_of(pl.DataFrame(rows, schema=WIDE_SCHEMA))
    times = np.concatenate([forecast.timestamps for forecast in forecasts])
    lengths = [len(forecast.timestamps) for forecast in forecasts]
    made_at = np.repeat([instant(forecast.made_at) for forecast in forecasts], lengths)
    unit = common_unit(forecasts)
    prices = np.repeat([forecast.price_per_unit(unit) for forecast in forecasts], lengths)
    distributions = {
        name: pl.Series(np.concatenate([getattr(each.distribution, name) for each in forecasts])).fill_nan(
            None
        )
        for name in ("pit_low", "pit_high", "log_score")
    }
    return steps.with_columns(
        ts=pl.Series(times).dt.replace_time_zone("UTC"),
        made_at=pl.Series(made_at).dt.replace_time_zone("UTC"),
        unit=pl.Series(prices),
        **distributions,
    )


def _wide(scored: Scored, calibrated: Calibrated | None) -> dict[str, Any]:
    """Return a row of `WIDE_SCHEMA`."""
    scores = scored.scores
    band = None
    if calibrated is not None and scored.model == calibrated.model:
        band = calibrated.bands.get((scored.symbol, scored.as_of))
    if band is not None:
        scores = replace(scores, covered_calibrated=covered(band[0], band[1], scores.actual))
    return {
        "model": scored.model,
        "symbol": scored.symbol,
        "as_of": scored.as_of,
        "last_close": scored.last_close,
        "events_active": scored.events_active,
        **dict(zip(("p10", "p50", "p90"), scored.quantiles.tolist(), strict=True)),
        "p10_calibrated": None if band is None else band[0].tolist(),
        "p90_calibrated": None if band is None else band[1].tolist(),
        **score_lists(scores, scored.events),
    }


_LEGENDS: Final[dict[Unit, str]] = {
    "bp": "bp: basis points of the last close.",
    "volatility": "vol: volatilities, each the root mean square of the moves in the forecast's window.",
}
_RATIO_LEGEND: Final = (
    "ratio: model over walk, below 1 is better. right way: p50 and the actual close on one side of the last "
    "close"
)


def comparison_table(steps: pl.DataFrame, model: str, title: str, unit: Unit = "bp") -> Table:
    """Return the scores of a model and of the random walk, in every split.

    Parameters
    ----------
    steps
        As `frame_of` returns them.
    unit
        That of their column ``unit``.
    """
    caption = f"{_LEGENDS[unit]} {_RATIO_LEGEND}"
    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, padding=0, title_justify="left")
    table.add_column("", no_wrap=True)
    short = SHORT_NAMES[unit]
    for name in (
        "closes", "cover\n%", "walk\n%", f"CRPS\n{short}", f"walk\n{short}", "CRPS\nratio",
        "pinball\nratio", "MAE\nratio", "right\nway %",
    ):  # fmt: skip
        table.add_column(name, justify="right", no_wrap=True)
    previous = None
    for row in beside(summary(steps, pl.col("unit")), model, RANDOM_WALK, _COMPARED).to_dicts():
        if previous not in (None, row["split"]):
            table.add_section()
        table.add_row(
            _label(row["split"], row["value"]),
            figure_text("closes", row["closes"]),
            figure_text("coverage", row["coverage"]),
            figure_text("coverage", row["baseline_coverage"]),
            figure_text("crps", row["crps"], DIGITS[unit]),
            figure_text("crps", row["baseline_crps"], DIGITS[unit]),
            *(comparison(row, name) for name in ("crps", "pinball", "mae")),
            figure_text("direction", row["direction"]),
        )
        previous = row["split"]
    return table


def _label(split: str, value: str) -> str:
    """Return the name of a split's row, short enough for a terminal of 80 columns."""
    return f"{_SHORT.get(split, split)} {_SHORT.get(value, value)}".rstrip()


def coverage_table(steps: pl.DataFrame, classes: dict[str, str], title: str, unit: Unit = "bp") -> Table:
    """Return coverage and width before and after calibration, by asset class and step.

    Parameters
    ----------
    steps
        Rows of one model as `frame_of` returns them; those without a calibrated envelope are ignored.
    classes
        Asset class by symbol.
    unit
        That of their column ``unit``.
    """
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=0, title_justify="left")
    for name in ("", "step"):
        table.add_column(name)
    width = f"width {SHORT_NAMES[unit]}"
    for name in ("closes", "raw\ncover %", "calibrated\ncover %", f"raw\n{width}", f"calibrated\n{width}"):
        table.add_column(name, justify="right", no_wrap=True)
    tested = steps.filter(pl.col("covered_calibrated").is_not_null()).with_columns(
        asset_class=pl.col("symbol").replace_strict(classes, return_dtype=pl.String)
    )
    shown = tested.filter(pl.col("step").is_in(SHOWN_STEPS) | (pl.col("step") == pl.col("step").max()))
    parts = pl.concat([tested.with_columns(step=pl.lit(0, dtype=pl.Int32)), shown])
    figures = parts.group_by("asset_class", "step").agg(
        closes=pl.len().cast(pl.Int64),
        raw=pl.col("covered").mean(),
        calibrated=pl.col("covered_calibrated").mean(),
        raw_width=((pl.col("p90") - pl.col("p10")) / pl.col("unit")).mean(),
        calibrated_width=((pl.col("p90_calibrated") - pl.col("p10_calibrated")) / pl.col("unit")).mean(),
    )
    for row in figures.sort("asset_class", "step").to_dicts():
        first = row["step"] == 0
        table.add_row(
            row["asset_class"] if first else "",
            "all" if first else str(row["step"]),
            figure_text("closes", row["closes"]),
            figure_text("coverage", row["raw"]),
            figure_text("coverage", row["calibrated"]),
            figure_text("width", row["raw_width"], DIGITS[unit]),
            figure_text("width", row["calibrated_width"], DIGITS[unit]),
        )
    return table
