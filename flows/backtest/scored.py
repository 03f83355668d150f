"""Scores a forecast of a past period, and the baselines of the same window, against the actual closes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import numpy as np

from flows.backtest.baselines import baseline_forecasts
from flows.backtest.distributions import DistributionScores, scores_of_lognormal, scores_of_paths
from flows.forecasting.forecasts import Order, build_row
from flows.scoring.forecast_scores import matured_at
from flows.scoring.metrics import FEWEST_PATHS, StepScores, lognormal_crps, score_steps
from flows.scoring.random_walk import RandomWalk
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
    row = build_row(order, answer)
    paths = np.asarray(answer.samples, dtype=np.float64)
    quantiles = np.array([row.p10, row.p50, row.p90])
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
        distribution=scores_of_paths(paths, actual, window.last_close),
        events=None if days is None else days.of(window.instrument, timeframe, stamps),
        events_active=(order.event_context or {}).get("events_active", []),
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
        One of the closes is not above 0.
    """
    made = baseline_forecasts(closes, len(forecast.timestamps))
    return [_scored_baseline(forecast, name, baseline) for name, baseline in made.items()]


def _scored_baseline(forecast: Scored, name: str, baseline: RandomWalk) -> Scored:
    actual, quantiles = forecast.scores.actual, baseline.quantiles()
    return replace(
        forecast,
        model=name,
        quantiles=quantiles,
        scores=replace(
            score_steps(quantiles, actual, forecast.last_close),
            crps=lognormal_crps(baseline.median, baseline.sigma, actual),
        ),
        distribution=scores_of_lognormal(baseline.median, baseline.sigma, actual),
    )
