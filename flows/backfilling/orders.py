"""Builds the orders of the missing forecasts, instant by instant."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from flows.backfilling.missing import Missing, by_instant
from flows.backfilling.past_market import PastMarket
from flows.forecasting.candles import CandleWindow
from flows.forecasting.event_plan import EventPlan, plan_with
from flows.forecasting.forecasts import Order, SamplingSettings
from flows.forecasting.lookback import shortened
from flows.forecasting.path_statistics import WantedStatistics
from flows.forecasting.training_span import TrainingSpan, span_warnings
from inference_server.schemas import ModelInfo
from market.times import instant


@dataclass(frozen=True)
class BackfillSettings:
    """The settings of a backfill, the same for every forecast; `flows.backfill.backfill` describes them.

    Attributes
    ----------
    lookback
        Candles of a window at most.
    shorter_lookback
        Whether windows are shortened where their last close would be clipped, as the flow predict-batch does.
    training_span
        Of the model; None where its manifest has none.
    """

    sampling: SamplingSettings
    lookback: int
    with_events: bool
    store_samples: bool
    shorter_lookback: bool
    statistics: WantedStatistics
    training_span: TrainingSpan | None


@dataclass(frozen=True)
class PastOrder:
    """The order of a forecast of the past.

    Attributes
    ----------
    without_events
        Why it is requested without events; None where it has them.
    """

    order: Order
    without_events: str | None


@dataclass(frozen=True)
class LeftOut:
    """A candle that can't be forecast from, and why."""

    symbol: str
    reason: str


def past_orders(
    market: PastMarket, missing: Missing, model: ModelInfo, settings: BackfillSettings
) -> Iterator[PastOrder | LeftOut]:
    """Yield for each missing forecast its order, or why it is left out; oldest first.

    Each is built from what was known at its instant, as by a run of the flow predict-batch then.
    """
    for as_of, last_candles in by_instant(missing.starts):
        cut = market.windows(
            last_candles, as_of, settings.lookback, settings.sampling.pred_len, model.limits.min_candles
        )
        windows = {
            symbol: window
            for symbol, window in cut.windows.items()
            if instant(window.as_of) == last_candles[symbol]
        }
        if settings.shorter_lookback:
            windows = shortened(windows, model.limits.min_candles)
        events = _event_plan(market, model, windows, as_of, settings)
        event_warnings = events.warnings_by_symbol()
        for symbol in last_candles:
            if symbol not in windows:
                yield LeftOut(symbol, _why_left_out(symbol, cut.unusable | cut.stale))
                continue
            window = windows[symbol]
            order = Order(
                symbol,
                window,
                settings.sampling,
                model.version,
                events.arrays.get(symbol),
                events.contexts.get(symbol),
                market.calibrations.at(window.instrument.asset_class, as_of),
                settings.store_samples,
                (
                    *window.warnings,
                    *event_warnings.get(symbol, ()),
                    *span_warnings(settings.training_span, window),
                ),
                statistics=settings.statistics,
            )
            yield PastOrder(order, events.reasons.get(symbol))


def _event_plan(
    market: PastMarket,
    model: ModelInfo,
    windows: Mapping[str, CandleWindow],
    as_of: datetime,
    settings: BackfillSettings,
) -> EventPlan:
    if not settings.with_events:
        return EventPlan.without(windows, "turned off for this run", settled=True)
    return plan_with(market.event_arrays, model, windows, market.timeframe, as_of)


def _why_left_out(symbol: str, reasons: Mapping[str, str]) -> str:
    return reasons.get(symbol, "another candle closed at the same time, or later, and is stamped after it")
