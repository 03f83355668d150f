"""Back-tests of a simulated market, whose true distribution the model knows, or knows in part."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from flows.backtest.baselines import RANDOM_WALK, baseline_forecasts
from flows.backtest.distributions import scores_of_paths
from flows.backtest.scored import Scored, name_without_events, scored_baselines
from flows.evaluation.evaluation import Settings
from flows.scoring.metrics import score_steps
from flows.scoring.step_events import StepEvents
from market.envelope import envelope
from market.types import Float64Array

MODEL = "simulated"
START = datetime(2024, 1, 1, tzinfo=UTC)
RELEASE_STEP = 1
"""The step, from 0, on whose candle every fifth instant has a release."""

SETTINGS: Final = Settings(
    model=MODEL,
    version="v1",
    timeframe="1h",
    start=START,
    end=START + timedelta(days=20),
    pred_len=4,
    lookback=60,
    samples=40,
    seed=1,
    cost_bp=5.0,
    training_span=None,
)


def simulated_backtest(
    *,
    instants: int = 120,
    symbols: int = 5,
    steps: int = 4,
    paths: int = 40,
    width: float = 1.0,
    knowledge: float = 0.0,
    without_events: bool = False,
    differences: Sequence[int] = (),
    shift: float = 0.0,
    seed: int = 1,
) -> list[Scored]:
    """Forecasts of hourly candles whose horizons follow each other without a gap.

    Log returns, or price differences, are normal with a volatility that is drawn for each window and, at
    every fifth instant, four times as large on the candle `RELEASE_STEP`.

    Parameters
    ----------
    width
        The model's volatility over the true one.
    knowledge
        How much of the actual return the model's median has: 0 nothing, 1 all of it.
    without_events
        Whether each forecast has a second one, whose volatility lacks the release.
    differences
        Numbers of the symbols whose moves are price differences.
    shift
        What is added to every price of these symbols, which begin at 0.
    """
    rng = np.random.default_rng(seed)
    scored: list[Scored] = []
    for number in range(instants):
        for symbol in range(symbols):
            usual = 0.01 * rng.choice([0.5, 2.0]) * np.ones(steps)
            true = usual.copy()
            if number % 5 == 0:
                true[RELEASE_STEP : RELEASE_STEP + 1] *= 4
            past = np.cumsum(rng.normal(0, 0.0125, 60))
            moves = np.cumsum(rng.normal(0, true))
            centre = knowledge * moves
            noise = rng.normal(size=(paths, steps))
            market = _Market(number, symbol, past, moves, shift if symbol in differences else None)
            model = _forecast(market, centre + np.cumsum(width * true * noise, axis=1))
            scored += [model, *scored_baselines(model, market.closes)]
            if without_events:
                lacking = centre + np.cumsum(width * usual * noise, axis=1)
                scored.append(_forecast(market, lacking, without=True))
    return scored


@dataclass(frozen=True)
class _Market:
    """A window and its future: cumulated log returns or, where `shift` is given, price differences."""

    number: int
    symbol: int
    past: Float64Array
    moves: Float64Array
    shift: float | None

    @property
    def closes(self) -> Float64Array:
        return 100 * np.exp(self.past) if self.shift is None else self.past + self.shift

    def prices(self, moves: Float64Array) -> Float64Array:
        last = self.closes[-1]
        return np.asarray(last * np.exp(moves) if self.shift is None else last + moves)


def _forecast(market: _Market, moves: Float64Array, *, without: bool = False) -> Scored:
    """Return the scored forecast of (paths, steps) cumulated moves."""
    number, steps = market.number, len(market.moves)
    made_at = START + number * steps * timedelta(hours=1)
    last, differences = float(market.closes[-1]), market.shift is not None
    actual, paths = market.prices(market.moves), market.prices(moves)
    walk = baseline_forecasts(market.closes, 1, differences=differences)[RANDOM_WALK]
    quantiles = np.array(envelope(paths))
    kinds: list[list[str]] = [[] for _ in range(steps)]
    if number % 5 == 0 and steps > RELEASE_STEP:
        kinds[RELEASE_STEP] = ["nfp"]
    return Scored(
        model=name_without_events(MODEL) if without else MODEL,
        symbol=f"S{market.symbol:02}",
        asset_class="crypto",
        as_of=made_at - timedelta(hours=1),
        made_at=made_at,
        matured_at=made_at + steps * timedelta(hours=1),
        timestamps=np.datetime64(made_at.replace(tzinfo=None), "us")
        + np.arange(steps) * np.timedelta64(1, "h"),
        quantiles=quantiles,
        last_close=last,
        scores=score_steps(quantiles, actual, last, paths=paths if len(paths) > 1 else None),
        distribution=scores_of_paths(paths, actual, 1.0 if differences else last),
        events=StepEvents(kinds, np.full(steps, number % 5 == 0)),
        events_active=[],
        volatility=float(walk.sigma[0]),
        differences=differences,
    )
