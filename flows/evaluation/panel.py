"""Arranges the forecasts of a back-test as arrays: a row for each window, a column for each step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from flows.backtest.scored import Scored, common_unit, name_without_events
from flows.backtest.units import Unit
from flows.events.config import KINDS
from market.times import instants
from market.types import BoolArray, DatetimeArray, Float64Array, Int64Array

NO_RELEASE: Final = "no release"


@dataclass(frozen=True)
class ModelScores:
    """A model's figures, (windows, steps) each; NaN where no close is known or the model made no forecast.

    Attributes
    ----------
    expected_move
        That of p50 from the last close, as `Panel.actual_move`.
    crps, pinball, width
        Units of the panel; `width` is that of p10–p90.
    covered, direction_hit
        As in `flows.scoring.metrics.StepScores`.
    pit_low, pit_high, log_score
        As in `flows.backtest.distributions.DistributionScores`.
    """

    expected_move: Float64Array
    crps: Float64Array
    pinball: Float64Array
    width: Float64Array
    covered: Float64Array
    direction_hit: Float64Array
    pit_low: Float64Array
    pit_high: Float64Array
    log_score: Float64Array


@dataclass(frozen=True)
class Panel:
    """Forecasts of the same windows by several models, ordered by instant and symbol.

    Attributes
    ----------
    model
        Name of the model that is evaluated.
    symbols, instants
        Distinct symbols, sorted, and distinct instants at which forecasts were made, (T,) increasing.
    unit
        In what figures of several symbols are averaged (`flows.backtest.scored.common_unit`).
    differences
        Whether a symbol's moves are price differences, by symbol.
    symbol, instant
        (windows,) index into `symbols` and `instants`.
    start
        (windows,) open of the last candle used.
    ends
        (windows, steps) opens of the predicted candles.
    actual_move
        (windows, steps) return of the actual close over the last close, or its difference from it; NaN where
        no close is known.
    scale
        (windows,) units of the panel in a move of 1.
    releases
        By kind of release, and for `NO_RELEASE`, (windows, steps) whether one falls on the candle. All are
        False where the calendar does not cover the window.
    event_day, quiet_day
        (windows, steps) whether the candle's day has a release; both False without a calendar.
    scores
        By name of the model, of the baselines, and of the model without events where it was made.
    """

    model: str
    symbols: list[str]
    instants: DatetimeArray
    unit: Unit
    differences: Mapping[str, bool]
    symbol: Int64Array
    instant: Int64Array
    start: DatetimeArray
    ends: DatetimeArray
    actual_move: Float64Array
    scale: Float64Array
    releases: Mapping[str, BoolArray]
    event_day: BoolArray
    quiet_day: BoolArray
    scores: Mapping[str, ModelScores]

    @property
    def steps(self) -> int:
        """Steps of a forecast."""
        return int(self.ends.shape[1])

    @property
    def without_events(self) -> ModelScores | None:
        """Scores of the model without events; None where no forecast was made twice."""
        return self.scores.get(name_without_events(self.model))

    @property
    def instants_per_horizon(self) -> int:
        """Instants from a forecast to the end of its horizon, by the median forecast; at least 1."""
        end = self.instants[self.instant] + (self.ends[:, -1] - self.start)
        spanned = np.searchsorted(self.instants, end) - self.instant
        return max(int(np.median(spanned)), 1)

    @cached_property
    def rows_of(self) -> list[Int64Array]:
        """Windows of each symbol, in order of time."""
        order = np.argsort(self.symbol, kind="stable")
        return np.split(order, np.searchsorted(self.symbol[order], np.arange(1, len(self.symbols))))

    @cached_property
    def _first_rows(self) -> Int64Array:
        return np.searchsorted(self.instant, np.arange(len(self.instants)))

    def by_instant(self, values: Float64Array) -> Float64Array:
        """Return the sums over the windows of each instant, (T, K), of (windows, K) values."""
        return np.add.reduceat(values, self._first_rows, axis=0)


def panel_of(scored: Sequence[Scored], model: str) -> Panel:
    """Arrange scored forecasts.

    Parameters
    ----------
    scored
        At least one of the model, all of one pred_len; of the other models, none of a window that the model
        did not forecast.
    """
    windows = sorted(
        (each for each in scored if each.model == model), key=lambda each: (each.made_at, each.symbol)
    )
    row = {(each.made_at, each.symbol): number for number, each in enumerate(windows)}
    by_model: dict[str, dict[int, Scored]] = {model: {}}
    for each in scored:
        by_model.setdefault(each.model, {})[row[each.made_at, each.symbol]] = each
    symbols, symbol = np.unique([each.symbol for each in windows], return_inverse=True)
    unit = common_unit(windows)
    times, instant = np.unique(instants([each.made_at for each in windows]), return_inverse=True)
    event_day, quiet_day = _days(windows)
    return Panel(
        model=model,
        symbols=symbols.tolist(),
        instants=times,
        unit=unit,
        differences={each.symbol: each.differences for each in windows},
        symbol=symbol,
        instant=instant,
        start=instants([each.as_of for each in windows]),
        ends=np.stack([each.timestamps for each in windows]),
        actual_move=np.stack([_moves(each, each.scores.actual) for each in windows]),
        scale=np.array([each.price_per_move / each.price_per_unit(unit) for each in windows]),
        releases=_releases(windows),
        event_day=event_day,
        quiet_day=quiet_day,
        scores={name: _scores(forecasts, len(windows), unit) for name, forecasts in by_model.items()},
    )


def _moves(scored: Scored, closes: Float64Array) -> Float64Array:
    """Return returns, or price differences, of (pred_len,) closes from the last close."""
    return (closes - scored.last_close) / scored.price_per_move


def _scores(forecasts: Mapping[int, Scored], windows: int, unit: Unit) -> ModelScores:
    """Return the figures of forecasts by their row."""
    steps = len(next(iter(forecasts.values())).timestamps)
    rows = [_figures(each, unit) for each in forecasts.values()]
    stacked = np.full((len(rows[0]), windows, steps), np.nan)
    stacked[:, list(forecasts)] = np.stack(rows, axis=1)
    # An envelope has a width at candles that never came; its figures are compared where closes are known.
    stacked[:, np.isnan(stacked[4])] = np.nan
    return ModelScores(*stacked)


def _figures(scored: Scored, unit: Unit) -> Float64Array:
    """Return the fields of `ModelScores` for one window, (fields, steps)."""
    scores, distribution = scored.scores, scored.distribution
    low, middle, high = scored.quantiles
    price = scored.price_per_unit(unit)
    return np.stack(
        [
            _moves(scored, middle),
            scores.crps / price,
            scores.pinball / price,
            (high - low) / price,
            scores.covered,
            scores.direction_hit,
            distribution.pit_low,
            distribution.pit_high,
            distribution.log_score,
        ]
    )


def _releases(windows: Sequence[Scored]) -> dict[str, BoolArray]:
    shape = (len(windows), len(windows[0].timestamps))
    masks = {kind: np.zeros(shape, dtype=bool) for kind in (*KINDS, NO_RELEASE)}
    for row, each in enumerate(windows):
        if each.events is not None:
            for step, kinds in enumerate(each.events.kinds):
                for kind in kinds or (NO_RELEASE,):
                    masks[kind][row, step] = True
    return masks


def _days(windows: Sequence[Scored]) -> tuple[BoolArray, BoolArray]:
    """Return on which candles' days there is a release, and on which there is none."""
    shape = (len(windows), len(windows[0].timestamps))
    event, quiet = np.zeros((2, *shape), dtype=bool)
    for row, each in enumerate(windows):
        if each.events is not None:
            event[row], quiet[row] = each.events.event_day, ~each.events.event_day
    return event, quiet
