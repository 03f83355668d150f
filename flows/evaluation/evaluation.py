"""Computes all figures of an evaluation from the scored forecasts of a back-test."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
import numpy as np

from flows.backtest.baselines import BASELINES, RANDOM_WALK
from flows.backtest.scored import Scored
from flows.backtest.units import Unit
from flows.evaluation.accuracy import Comparison, ModelFigures, comparison, model_figures
from flows.evaluation.answers import Answer, better_than_baselines, events_help
from flows.evaluation.calibration import Calibration, calibration
from flows.evaluation.correlations import InformationCoefficients, across_symbols, over_time
from flows.evaluation.estimates import DRAWS, BlockBootstrap, Estimate, block_length
from flows.evaluation.event_effects import EventEffect, event_effects
from flows.evaluation.panel import Panel, panel_of
from flows.evaluation.trading import LongShort, hit_rate, long_short
from flows.scoring.splits import BASIS_POINTS, SHOWN_STEPS
from market.times import aware

UNKNOWN_TICK: Final = (
    "its tick_size is unknown, and with it the cost of a change of its position; set tick_size of the "
    "instrument, or give --cost-ticks 0"
)


class Settings(msgspec.Struct, frozen=True):
    """What was evaluated, and how.

    Attributes
    ----------
    start, end
        The first and the last instant asked for.
    cost_bp, cost_ticks
        What a change of a position costs: basis points of the value traded or, where moves are price
        differences, ticks for each unit of the price.
    tick_sizes
        By symbol, where known.
    """

    model: str
    version: str
    timeframe: str
    start: datetime
    end: datetime
    pred_len: int
    lookback: int
    samples: int
    seed: int
    cost_bp: float
    training_span: str | None
    cost_ticks: float = 1.0
    tick_sizes: dict[str, float] = {}


class Resampling(msgspec.Struct, frozen=True):
    """How intervals were resampled: so many draws of blocks of so many instants."""

    instants: int
    block: int
    draws: int


class Returns(msgspec.Struct, frozen=True):
    """What the median says of returns, by step from 1.

    Coefficients of a symbol and portfolios are those of `shown_steps`, the hit rate of a symbol that of the
    last step. `not_traded` says which symbols are in no portfolio, and why.
    """

    across_symbols: list[InformationCoefficients]
    over_time: list[InformationCoefficients]
    over_time_by_symbol: dict[str, list[InformationCoefficients]]
    hit_rate: list[Estimate]
    hit_rate_by_symbol: dict[str, Estimate]
    long_short: list[LongShort]
    not_traded: dict[str, str]


class LeftOut(msgspec.Struct, frozen=True):
    """Windows without a forecast, by reason; symbols without any, and why; forecasts without events."""

    windows: dict[str, int]
    symbols: dict[str, str]
    without_events: dict[str, int]


class Evaluation(msgspec.Struct, frozen=True):
    """All figures of an evaluation: what the report and the JSON file hold.

    Attributes
    ----------
    models
        Means of the model, of the model without events where it was compared, and of the baselines.
    unit
        Of losses, widths and gains: ``bp``, basis points of the last close or of the value traded, or
        ``volatility``, the root mean square of the moves in the forecast's window.
    price_differences
        Symbols whose moves are price differences instead of returns.
    windows, first_instant, last_instant
        Forecasts of the model, and when the first and the last of them were made, UTC.
    calibrations
        Of the model and of the random walk.
    """

    better_than_baselines: Answer
    events_help: Answer
    settings: Settings
    unit: Unit
    symbols: list[str]
    price_differences: list[str]
    windows: int
    first_instant: datetime
    last_instant: datetime
    shown_steps: list[int]
    resampling: Resampling
    left_out: LeftOut
    models: list[ModelFigures]
    comparisons: list[Comparison]
    calibrations: list[Calibration]
    event_effects: list[EventEffect]
    returns: Returns


def evaluation_of(scored: Sequence[Scored], settings: Settings, left_out: LeftOut) -> Evaluation:
    """Compute the figures of a back-test.

    Parameters
    ----------
    scored
        Of the model, of each baseline and, where events are compared, of the model without events; at least
        one window.
    """
    panel = panel_of(scored, settings.model)
    block = block_length(len(panel.instants), panel.instants_per_horizon)
    bootstrap = BlockBootstrap(len(panel.instants), block, settings.seed)
    shown = sorted({step for step in SHOWN_STEPS if step < panel.steps} | {panel.steps})
    comparisons = [comparison(panel, bootstrap, name, settings.seed) for name in BASELINES]
    effects = event_effects(panel, bootstrap)
    return Evaluation(
        better_than_baselines=better_than_baselines(comparisons),
        events_help=events_help(effects),
        settings=settings,
        unit=panel.unit,
        symbols=panel.symbols,
        price_differences=[symbol for symbol in panel.symbols if panel.differences[symbol]],
        windows=len(panel.instant),
        first_instant=aware(panel.instants[0]),
        last_instant=aware(panel.instants[-1]),
        shown_steps=shown,
        resampling=Resampling(len(panel.instants), block, DRAWS),
        left_out=left_out,
        models=[model_figures(panel, bootstrap, name) for name in panel.scores],
        comparisons=comparisons,
        calibrations=[calibration(panel, bootstrap, name, shown) for name in (settings.model, RANDOM_WALK)],
        event_effects=effects,
        returns=_returns(panel, shown, settings),
    )


def _returns(panel: Panel, shown: Sequence[int], settings: Settings) -> Returns:
    steps, symbols = range(1, panel.steps + 1), list(enumerate(panel.symbols))
    costs = np.array([_cost(name, settings, differences=panel.differences[name]) for name in panel.symbols])
    return Returns(
        across_symbols=[across_symbols(panel, step) for step in steps],
        over_time=[over_time(panel, step, range(len(symbols))) for step in steps],
        over_time_by_symbol={
            symbol: [over_time(panel, step, [number]) for step in shown] for number, symbol in symbols
        },
        hit_rate=[hit_rate(panel, step) for step in steps],
        hit_rate_by_symbol={symbol: hit_rate(panel, panel.steps, number) for number, symbol in symbols},
        long_short=[long_short(panel, step, costs) for step in shown],
        not_traded={
            symbol: UNKNOWN_TICK
            for (_, symbol), cost in zip(symbols, costs.tolist(), strict=True)
            if math.isnan(cost)
        },
    )


def _cost(symbol: str, settings: Settings, *, differences: bool) -> float:
    """Return what a change of a position by 1 costs, as a move; NaN without the tick size that it needs."""
    if not differences:
        return settings.cost_bp / BASIS_POINTS
    return settings.cost_ticks * settings.tick_sizes.get(symbol, math.nan) if settings.cost_ticks else 0.0
