"""Computes all figures of an evaluation from the scored forecasts of a back-test."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from flows.backtest.baselines import BASELINES, RANDOM_WALK
from flows.backtest.scored import Scored
from flows.evaluation.accuracy import Comparison, ModelFigures, comparison, model_figures
from flows.evaluation.answers import Answer, better_than_baselines, events_help
from flows.evaluation.calibration import Calibration, calibration
from flows.evaluation.correlations import InformationCoefficients, across_symbols, over_time
from flows.evaluation.estimates import DRAWS, BlockBootstrap, Estimate, block_length
from flows.evaluation.event_effects import EventEffect, event_effects
from flows.evaluation.panel import Panel, panel_of
from flows.evaluation.trading import LongShort, hit_rate, long_short
from flows.scoring.splits import SHOWN_STEPS
from market.times import aware


class Settings(msgspec.Struct, frozen=True):
    """What was evaluated, and how; `end` and `start` are the first and the last instant asked for."""

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


class Resampling(msgspec.Struct, frozen=True):
    """How intervals were resampled: so many draws of blocks of so many instants."""

    instants: int
    block: int
    draws: int


class Returns(msgspec.Struct, frozen=True):
    """What the median says of returns, by step from 1.

    Coefficients of a symbol and portfolios are those of `shown_steps`, the hit rate of a symbol that of the
    last step.
    """

    across_symbols: list[InformationCoefficients]
    over_time: list[InformationCoefficients]
    over_time_by_symbol: dict[str, list[InformationCoefficients]]
    hit_rate: list[Estimate]
    hit_rate_by_symbol: dict[str, Estimate]
    long_short: list[LongShort]


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
    windows, first_instant, last_instant
        Forecasts of the model, and when the first and the last of them were made, UTC.
    calibrations
        Of the model and of the random walk.
    """

    better_than_baselines: Answer
    events_help: Answer
    settings: Settings
    symbols: list[str]
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
        symbols=panel.symbols,
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
        returns=_returns(panel, shown, settings.cost_bp),
    )


def _returns(panel: Panel, shown: Sequence[int], cost_bp: float) -> Returns:
    steps, symbols = range(1, panel.steps + 1), list(enumerate(panel.symbols))
    return Returns(
        across_symbols=[across_symbols(panel, step) for step in steps],
        over_time=[over_time(panel, step, range(len(symbols))) for step in steps],
        over_time_by_symbol={
            symbol: [over_time(panel, step, [number]) for step in shown] for number, symbol in symbols
        },
        hit_rate=[hit_rate(panel, step) for step in steps],
        hit_rate_by_symbol={symbol: hit_rate(panel, panel.steps, number) for number, symbol in symbols},
        long_short=[long_short(panel, step, cost_bp) for step in shown],
    )
