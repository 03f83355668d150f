"""Forecasts a past period instant by instant, each from the data known then, and scores the forecasts.

Each forecast of the model is paired with that of a random walk from the same window.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final

import numpy as np
import polars as pl

from flows.backtest.history import HistoryError, MarketHistory
from flows.events import EventError, EventRequest, EventResult, build_event_arrays, load_config
from flows.events.source import EventSources
from flows.forecasting.candles import CandleWindow, closed_windows
from flows.forecasting.event_plan import EventPlan, plan_with
from flows.forecasting.forecasts import Order, SamplingSettings, build_row
from flows.forecasting.lookback import shortened
from flows.runtime.settings import WORKERS
from flows.scoring.forecast_scores import Closes, matured_at
from flows.scoring.metrics import FEWEST_PATHS, StepScores, lognormal_crps, score_steps
from flows.scoring.random_walk import random_walk
from flows.scoring.step_events import ReleaseDays, StepEvents
from inference_server.schemas import ModelInfo, PredictAnswer
from market.closed_candles import STILL_OPEN
from market.timeframes import CANDLE_DURATION
from market.types import DatetimeArray, Float64Array

RANDOM_WALK: Final = "random walk"

Ask = Callable[[Order], PredictAnswer]


@dataclass(frozen=True)
class Scored:
    """A forecast and its scores against the actual closes.

    Attributes
    ----------
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
    events: StepEvents | None
    events_active: list[str]


@dataclass
class WalkResult:
    """The forecasts of a walk, and the windows without one.

    Attributes
    ----------
    scored
        The model's forecasts and the random walk's, pair by pair.
    skipped
        Numbers of windows without a forecast, by reason.
    without_events
        Numbers of forecasts made without events, by reason.
    """

    scored: list[Scored] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    without_events: Counter[str] = field(default_factory=Counter)


def walk(
    history: MarketHistory,
    model: ModelInfo,
    ask: Ask,
    sampling: SamplingSettings,
    lookback: int,
    made_at: Sequence[datetime],
    *,
    with_events: bool = True,
    shorter_lookback: bool = False,
    stale_after: int | None = None,
) -> Iterator[WalkResult]:
    """Forecast at each instant in turn and yield its result.

    Parameters
    ----------
    history
        Candles and calendar of the period, the lookback before it and the horizon after it.
    model, ask
        The served model, and the call that forecasts with it; `ask` is called from several threads.
    made_at
        Instants, aware, increasing. A symbol without a new candle since the previous instant, as while its
        market is shut, is not forecast again.
    shorter_lookback
        Whether windows are shortened where their last close would be clipped, as `predict_batch` does.
    stale_after
        Passed to `flows.forecasting.candles.closed_windows`.

    Raises
    ------
    HistoryError
        The server has loaded another model since.
    """
    closes = Closes(history.candles)
    days = _release_days(history)
    newest: dict[str, datetime] = {}
    with ThreadPoolExecutor(WORKERS) as pool:
        for instant in made_at:
            step = WalkResult()
            windows = _windows(history, model, sampling, lookback, instant, step.skipped, stale_after)
            windows = {name: window for name, window in windows.items() if newest.get(name) != window.as_of}
            newest |= {name: window.as_of for name, window in windows.items()}
            if shorter_lookback:
                windows = shortened(windows, model.limits.min_candles)
            plan = _plan(history, model, windows, sampling.timeframe, instant, with_events)
            step.without_events.update(plan.reasons.values())
            orders = [
                Order(
                    name,
                    window,
                    sampling,
                    model.version,
                    plan.arrays.get(name),
                    plan.contexts.get(name),
                    store_samples=True,  # the scores are taken over the sample paths
                )
                for name, window in windows.items()
            ]
            for order, answer in zip(orders, pool.map(ask, orders), strict=True):
                if answer.model.version != model.version:
                    raise HistoryError(
                        f"the server went on from {model.name} {model.version} to {answer.model.version}: an "
                        "evaluation is of one model; run it again"
                    )
                actual = closes.at(order.symbol, order.window.future_timestamps)
                if np.isfinite(actual).any():
                    step.scored += _pair(order, answer, actual, instant, days)
                else:
                    step.skipped["no candle of the horizon is there"] += 1
            yield step


def made_at_instants(start: datetime, end: datetime, timeframe: str, every: int) -> list[datetime]:
    """Return the instants from `start` to at most `end`, `every` candle durations apart."""
    step = CANDLE_DURATION[timeframe] * every
    return [start + number * step for number in range(int((end - start) / step) + 1)]


def _windows(
    history: MarketHistory,
    model: ModelInfo,
    sampling: SamplingSettings,
    lookback: int,
    instant: datetime,
    skipped: Counter[str],
    stale_after: int | None,
) -> dict[str, CandleWindow]:
    """Return the windows that the flow would cut at an instant; count those left out, by reason."""
    recent = (
        history.candles.filter(pl.col("ts") < instant)
        .group_by("symbol", maintain_order=True)
        .tail(lookback + STILL_OPEN)
    )
    cut = closed_windows(
        recent,
        history.instruments,
        sampling.timeframe,
        instant,
        lookback=lookback,
        pred_len=sampling.pred_len,
        min_candles=model.limits.min_candles,
        stale_after=stale_after,
    )
    skipped["too few candles before it"] += len(cut.unusable)
    skipped["the feed had stopped"] += len(cut.stale)
    return cut.windows


def _plan(
    history: MarketHistory,
    model: ModelInfo,
    windows: Mapping[str, CandleWindow],
    timeframe: str,
    instant: datetime,
    with_events: bool,
) -> EventPlan:
    """Return the event arrays of an instant, or the reason why there are none."""
    if not with_events:
        return EventPlan.without(windows, "turned off")
    return plan_with(partial(_event_arrays, history.sources), model, windows, timeframe, instant)


def _event_arrays(
    sources: EventSources | None, requests: Sequence[EventRequest]
) -> Mapping[str, EventResult]:
    if sources is None:
        raise EventError("there is no economic calendar")
    if not requests:
        return {}
    return build_event_arrays(requests, sources.calendar, sources.leaders, load_config(), sources.rates)


def _release_days(history: MarketHistory) -> ReleaseDays | None:
    """Return the lookup of releases on predicted candles, or None without a calendar."""
    if history.sources is None:
        return None
    return ReleaseDays(
        history.sources.calendar, history.sources.rates, list(history.instruments), load_config()
    )


def _pair(
    order: Order, answer: PredictAnswer, actual: Float64Array, instant: datetime, days: ReleaseDays | None
) -> list[Scored]:
    """Return the model's forecast and the random walk's from the same window, both with scores."""
    window, timeframe = order.window, order.sampling.timeframe
    stamps = window.future_timestamps
    row = build_row(order, answer)
    paths = np.asarray(answer.samples, dtype=np.float64)
    quantiles = np.array([row.p10, row.p50, row.p90])
    forecast = Scored(
        model=answer.model.name,
        symbol=order.symbol,
        asset_class=window.instrument.asset_class,
        as_of=window.as_of,
        made_at=instant,
        matured_at=matured_at(window.instrument, timeframe, stamps),
        timestamps=stamps,
        quantiles=quantiles,
        last_close=window.last_close,
        scores=score_steps(
            quantiles, actual, window.last_close, paths=paths if len(paths) >= FEWEST_PATHS else None
        ),
        events=None if days is None else days.of(window.instrument, timeframe, stamps),
        events_active=(order.event_context or {}).get("events_active", []),
    )
    baseline = random_walk(window.columns["close"], len(stamps))
    baseline_scores = score_steps(baseline.quantiles(), actual, window.last_close)
    crps = lognormal_crps(baseline.median, baseline.sigma, actual)
    return [
        forecast,
        replace(
            forecast,
            model=RANDOM_WALK,
            quantiles=baseline.quantiles(),
            scores=replace(baseline_scores, crps=crps),
        ),
    ]
