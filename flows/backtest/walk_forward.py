"""Forecasts a past period instant by instant, each from the data known then, and scores the forecasts.

Each forecast of the model is followed by the baselines of the same window.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final

import numpy as np
import polars as pl

from flows.backtest.history import HistoryError, MarketHistory
from flows.backtest.scored import Scored, scored_baselines, scored_forecast, scored_without_events
from flows.events import EventError, EventRequest, EventResult, build_event_arrays, load_config
from flows.events.source import EventSources
from flows.forecasting.candles import CandleWindow, closed_windows
from flows.forecasting.event_plan import EventPlan, plan_with
from flows.forecasting.forecasts import Order, SamplingSettings
from flows.forecasting.lookback import shortened
from flows.forecasting.training_span import TrainingSpan, training_span
from flows.runtime.settings import REQUESTS_AT_ONCE
from flows.scoring.forecast_scores import Closes
from flows.scoring.step_events import ReleaseDays
from inference_server.schemas import ModelInfo, PredictAnswer
from market.closed_candles import STILL_OPEN
from market.timeframes import CANDLE_DURATION
from market.times import aware

Ask = Callable[[Order], PredictAnswer]

NOT_POSITIVE: Final = (
    "a close at or below 0, which has no return; where that can be, set allow_nonpositive of the instrument"
)
CONSTANT: Final = "all closes of the window are equal, so that the baselines have no volatility"


@dataclass
class WalkResult:
    """The forecasts of a walk, and the windows without one.

    Attributes
    ----------
    scored
        Of each window the model's forecast, those of the baselines, and, if wanted, the model's without
        events.
    left_out
        Numbers of windows without a forecast, by symbol and reason.
    without_events
        Numbers of forecasts made without events, by reason.
    """

    scored: list[Scored] = field(default_factory=list)
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    without_events: Counter[str] = field(default_factory=Counter)

    def add(self, other: "WalkResult") -> None:
        """Append the forecasts of another part of the walk, and add its numbers."""
        self.scored += other.scored
        self.left_out += other.left_out
        self.without_events += other.without_events

    @property
    def skipped(self) -> Counter[str]:
        """Numbers of windows without a forecast, by reason."""
        numbers: Counter[str] = Counter()
        for (_, reason), number in self.left_out.items():
            numbers[reason] += number
        return numbers


def walk(
    history: MarketHistory,
    model: ModelInfo,
    ask: Ask,
    sampling: SamplingSettings,
    lookback: int,
    made_at: Sequence[datetime],
    *,
    with_events: bool = True,
    compare_events: bool = False,
    shorter_lookback: bool = False,
    stale_after: int | None = None,
) -> Iterator[WalkResult]:
    """Forecast at each instant in turn and yield its result.

    Windows whose horizon begins within the training span of the model's manifest, before it, or less than the
    length of a horizon after it are left out: the model may have seen what it would forecast.

    Parameters
    ----------
    history
        Candles and calendar of the period, the lookback before it and the horizon after it.
    model, ask
        The served model, and the call that forecasts with it; `ask` is called from several threads.
    made_at
        Instants, aware, increasing. A symbol without a new candle since the previous instant, as while its
        market is shut, is not forecast again.
    compare_events
        Whether each forecast with events is made a second time without them, from the same seed.
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
    span = training_span(model)
    newest: dict[str, datetime] = {}
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        for instant in made_at:
            step = WalkResult()
            windows = _windows(history, model, sampling, lookback, instant, step.left_out, stale_after)
            windows = {name: window for name, window in windows.items() if newest.get(name) != window.as_of}
            newest |= {name: window.as_of for name, window in windows.items()}
            if shorter_lookback:
                windows = shortened(windows, model.limits.min_candles)
            windows = _comparable(windows, span, step.left_out)
            plan = _plan(history, model, windows, sampling.timeframe, instant, with_events)
            step.without_events.update(plan.reasons.values())
            orders = _orders(windows, plan, sampling, model.version)
            others = _without_events(orders) if compare_events else []
            answers = _answers(pool, ask, [*orders, *others], model)
            for order, answer in zip(orders, answers, strict=False):  # the second answers come after these
                actual = closes.at(order.symbol, order.window.future_timestamps)
                if np.isfinite(actual).any():
                    forecast = scored_forecast(order, answer, actual, instant, days)
                    step.scored += [forecast, *scored_baselines(forecast, order.window.columns["close"])]
                else:
                    step.left_out[order.symbol, "no candle of the horizon is there"] += 1
            made = {each.symbol: each for each in step.scored if each.model == model.name}
            step.scored += [
                scored_without_events(made[other.symbol], other, answer)
                for other, answer in zip(others, answers[len(orders) :], strict=True)
                if other.symbol in made
            ]
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
    left_out: Counter[tuple[str, str]],
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
    left_out.update((symbol, "too few candles before it") for symbol in cut.unusable)
    left_out.update((symbol, "the feed had stopped") for symbol in cut.stale)
    return cut.windows


def _comparable(
    windows: Mapping[str, CandleWindow], span: TrainingSpan | None, left_out: Counter[tuple[str, str]]
) -> dict[str, CandleWindow]:
    """Return the windows that say how good the model is; count the others, by reason."""
    usable = {}
    for symbol, window in windows.items():
        horizon = aware(window.future_timestamps[-1]) - window.as_of
        if span is not None and window.as_of < span.last + horizon:
            left_out[symbol, f"not after the model's training ({span}) and a gap of a horizon"] += 1
        elif not (window.instrument.allow_nonpositive or (window.columns["close"] > 0).all()):
            left_out[symbol, NOT_POSITIVE] += 1
        elif np.ptp(window.columns["close"]) == 0:
            left_out[symbol, CONSTANT] += 1
        else:
            usable[symbol] = window
    return usable


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


def _orders(
    windows: Mapping[str, CandleWindow], plan: EventPlan, sampling: SamplingSettings, version: str
) -> list[Order]:
    return [
        Order(
            name,
            window,
            sampling,
            version,
            plan.arrays.get(name),
            plan.contexts.get(name),
            store_samples=True,  # the scores are taken over the sample paths
        )
        for name, window in windows.items()
    ]


def _without_events(orders: Sequence[Order]) -> list[Order]:
    """Return the orders with events a second time, without them; the default seed is the same."""
    return [replace(order, events=None, event_context=None) for order in orders if order.events is not None]


def _answers(pool: Executor, ask: Ask, orders: Sequence[Order], model: ModelInfo) -> list[PredictAnswer]:
    """Return the answers to the orders of an instant.

    Raises
    ------
    HistoryError
        Another model made one of them.
    """
    answers = list(pool.map(ask, orders))
    for answer in answers:
        if answer.model.version != model.version:
            raise HistoryError(
                f"the server went on from {model.name} {model.version} to {answer.model.version}: an "
                "evaluation is of one model; run it again"
            )
    return answers


def _release_days(history: MarketHistory) -> ReleaseDays | None:
    """Return the lookup of releases on predicted candles, or None without a calendar."""
    if history.sources is None:
        return None
    return ReleaseDays(
        history.sources.calendar, history.sources.rates, list(history.instruments), load_config()
    )
