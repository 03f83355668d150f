"""Scores a forecast of a past period, and the baselines of the same window, against the actual closes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import numpy as np

from flows.backtest.baselines import RANDOM_WALK, baseline_forecasts
from flows.backtest.distributions import DistributionScores, scores_of_paths, scores_of_walk
from flows.backtest.units import Unit
from flows.forecasting.forecasts import Order, build_row
from flows.scoring.forecast_scores import matured_at
from flows.scoring.metrics import FEWEST_PATHS, StepScores, score_steps
from flows.scoring.random_walk import Walk
from flows.scoring.splits import BASIS_POINTS
from flows.scoring.step_events import ReleaseDays, StepEvents
from inference_server.schemas import PredictAnswer
from market.types import DatetimeArray, Float64Array

_WITHOUT_EVENTS: Final = " without events"


@dataclass(frozen=True)
class Scored:
    """A forecast and its scores against the actual closes.

    Attributes
    ----------
    model
        Name of the model or of the baseline (`flows.backtest.baselines.BASELINES`); the model's forecasts
        that were made a second time, without events, have `name_without_events`.
    as_of
        Open of the last candle used, aware.
    made_at, matured_at
        The instant of the forecast, and the close of its last candle, aware.
    timestamps
        (pred_len,) datetime64[us], UTC, of the predicted candles.
    quantiles
        (3, pred_len): p10, p50, p90.
    events
        Releases on its candles; None without a calendar.
    volatility
        Of one candle in the window: the root mean square of its log returns, or of its price differences.
    differences
        Whether moves of the symbol are price differences instead of returns, because its price may be zero
        or negative.
    """

    model: str
    symbol: str
    asset_class: str
    as_of: datetime
    made_at: datetime
    matured_at: datetime
    timestamps: DatetimeArray
    quantiles: Float64Array
    last_close: float
    scores: StepScores
    distribution: DistributionScores
    events: StepEvents | None
    events_active: list[str]
    volatility: float
    differences: bool = False

    @property
    def price_per_move(self) -> float:
        """Price of a move of 1: the last close for returns, 1 for price differences."""
        return 1.0 if self.differences else self.last_close

    def price_per_unit(self, unit: Unit) -> float:
        """Price of a basis point of the last close, or of a move of one volatility."""
        return self.last_close / BASIS_POINTS if unit == "bp" else self.volatility * self.price_per_move


def common_unit(scored: Iterable[Scored]) -> Unit:
    """Return the unit for figures of several symbols: basis points if moves of all of them are returns."""
    return "volatility" if any(each.differences for each in scored) else "bp"


def name_without_events(model: str) -> str:
    """Return the name under which a model's forecasts without events are compared."""
    return model + _WITHOUT_EVENTS


def scored_forecast(
    order: Order, answer: PredictAnswer, actual: Float64Array, made_at: datetime, days: ReleaseDays | None
) -> Scored:
    """Score a model's answer.

    Parameters
    ----------
    actual
        (pred_len,) closes of the predicted candles, NaN where there is none.
    days
        Lookup of the releases on the candles, or None without a calendar.
    """
    window, timeframe = order.window, order.sampling.timeframe
    stamps = window.future_timestamps
    differences = window.instrument.allow_nonpositive
    walk = baseline_forecasts(window.columns["close"], 1, differences=differences)[RANDOM_WALK]
    row = build_row(order, answer)
    paths = np.asarray(answer.samples, dtype=np.float64)
    quantiles = np.array([row.p10, row.p50, row.p90])
    unit = 1.0 if differences else window.last_close
    return Scored(
        model=answer.model.name,
        symbol=order.symbol,
        asset_class=window.instrument.asset_class,
        as_of=window.as_of,
        made_at=made_at,
        matured_at=matured_at(window.instrument, timeframe, stamps),
        timestamps=stamps,
        quantiles=quantiles,
        last_close=window.last_close,
        scores=score_steps(
            quantiles, actual, window.last_close, paths=paths if len(paths) >= FEWEST_PATHS else None
        ),
        distribution=scores_of_paths(paths, actual, unit),
        events=None if days is None else days.of(window.instrument, timeframe, stamps),
        events_active=(order.event_context or {}).get("events_active", []),
        volatility=float(walk.sigma[0]),
        differences=differences,
    )


def scored_without_events(forecast: Scored, order: Order, answer: PredictAnswer) -> Scored:
    """Score a second answer to the same window, made without events.

    It keeps releases and active events of `forecast`, by which both are then divided into the same groups.
    """
    other = scored_forecast(order, answer, forecast.scores.actual, forecast.made_at, None)
    return replace(
        other,
        model=name_without_events(forecast.model),
        events=forecast.events,
        events_active=forecast.events_active,
    )


def scored_baselines(forecast: Scored, closes: Float64Array) -> Sequence[Scored]:
    """Score the baselines of a forecast's window.

    Parameters
    ----------
    closes
        (T,) of the window.

    Raises
    ------
    ValueError
        One of the closes is not above 0, and moves of the symbol are returns.
    """
    made = baseline_forecasts(closes, len(forecast.timestamps), differences=forecast.differences)
    return [_scored_baseline(forecast, name, baseline) for name, baseline in made.items()]


def _scored_baseline(forecast: Scored, name: str, baseline: Walk) -> Scored:
    actual, quantiles = forecast.scores.actual, baseline.quantiles()
    return replace(
        forecast,
        model=name,
        quantiles=quantiles,
        scores=replace(
            score_steps(quantiles, actual, forecast.last_close),
            crps=baseline.crps(actual),
        ),
        distribution=scores_of_walk(baseline, actual),
    )
