"""Measures the worth of the median's direction: hit rates, and a long-short portfolio after costs."""

import math
from typing import Final

import msgspec
import numpy as np

from flows.evaluation import non_overlapping
from flows.evaluation.estimates import UNKNOWN, Estimate, mean, share, t_of_mean
from flows.evaluation.panel import Panel
from flows.scoring.splits import BASIS_POINTS
from market.types import Float64Array, Int64Array

FEWEST_FOR_DECILES: Final = 10
FEWEST_FOR_TERCILES: Final = 3


class LongShort(msgspec.Struct, frozen=True):
    """A portfolio that is long the symbols of the highest expected returns and short those of the lowest.

    Attributes
    ----------
    step
        Candles for which a portfolio is held.
    portfolio
        ``decile``, ``tercile`` (fewer than 10 symbols), or why there is none.
    cost_bp
        Cost of each unit of traded value, basis points.
    gross_bp, net_bp
        Mean return of a period before and after costs, basis points of the value of one side, with a normal
        interval over periods.
    turnover
        Mean value traded in a period over the value of one side; 4 if both sides are opened and closed.
    t
        t statistic of `net_bp`.
    """

    step: int
    portfolio: str
    cost_bp: float
    gross_bp: Estimate
    net_bp: Estimate
    turnover: float
    t: float


def hit_rate(panel: Panel, step: int, symbol: int | None = None) -> Estimate:
    """Return the share of windows whose close moved to the side of the median, with Wilson's interval.

    Of windows that don't overlap within a symbol, without those where either did not move. The interval takes
    symbols for independent; where they move together it is too narrow.

    Parameters
    ----------
    step
        From 1.
    symbol
        Index of a symbol; None for all.
    """
    symbols = range(len(panel.symbols)) if symbol is None else (symbol,)
    rows = np.concatenate([non_overlapping.of_symbol(panel, number, step) for number in symbols])
    hits = panel.scores[panel.model].direction_hit[rows, step - 1]
    return share(int(np.nansum(hits)), int(np.isfinite(hits).sum()))


def long_short(panel: Panel, step: int, cost_bp: float) -> LongShort:
    """Return the returns of a long-short portfolio that is held for `step` candles.

    At each instant, of those that don't overlap, the highest tenth of symbols is bought and the lowest tenth
    sold short (thirds where fewer than 10 symbols have a forecast), each side with equal weights that sum to
    1. A position whose symbol is forecast again from the very candle at which it ends is changed to its new
    weight; every other one is closed. Each change of a weight costs `cost_bp`, the first purchase and the
    last sale too; the drift of weights within a period is neglected.
    """
    periods = [
        known
        for rows in non_overlapping.all_symbols(panel, step)
        if len(known := rows[np.isfinite(panel.actual_return[rows, step - 1])]) >= FEWEST_FOR_TERCILES
    ]
    if not periods:
        reason = f"fewer than {FEWEST_FOR_TERCILES} symbols at every instant"
        return LongShort(step, reason, cost_bp, UNKNOWN, UNKNOWN, math.nan, math.nan)
    gross, turnover = np.array(_periods(panel, periods, step)).T
    net = gross - turnover * cost_bp / BASIS_POINTS
    largest = max(len(rows) for rows in periods)
    return LongShort(
        step=step,
        portfolio="decile" if largest >= FEWEST_FOR_DECILES else "tercile",
        cost_bp=cost_bp,
        gross_bp=mean(gross * BASIS_POINTS),
        net_bp=mean(net * BASIS_POINTS),
        turnover=float(turnover.mean()),
        t=t_of_mean(net),
    )


def portfolio_weights(expected: Float64Array) -> Float64Array:
    """Return the weight of each symbol, (n,), from (n,) expected returns, n ≥ 3.

    Equal expected returns are ordered by their place. All weights are 0 where every expected return is equal.
    """
    count = len(expected)
    weights = np.zeros(count)
    if np.ptp(expected) > 0:
        side = count // 10 if count >= FEWEST_FOR_DECILES else count // 3
        order = np.argsort(expected, kind="stable")
        weights[order[-side:]], weights[order[:side]] = 1 / side, -1 / side
    return weights


def _periods(panel: Panel, periods: list[Int64Array], step: int) -> list[tuple[float, float]]:
    """Return the gross return and the value traded of each period, over the value of one side."""
    expected = panel.scores[panel.model].expected_return[:, step - 1]
    actual, ends = panel.actual_return[:, step - 1], panel.ends[:, step - 1]
    found: list[tuple[float, float]] = []
    held: dict[tuple[int, np.datetime64], float] = {}  # weights by symbol and the candle at which they end
    for rows in periods:
        weights = portfolio_weights(expected[rows])
        opened = 0.0
        for row, weight in zip(rows.tolist(), weights.tolist(), strict=True):
            opened += abs(weight - held.pop((int(panel.symbol[row]), panel.start[row]), 0.0))
        if found:  # what no forecast goes on from is closed at its end: a cost of the period before
            gross, traded = found[-1]
            found[-1] = gross, traded + sum(map(abs, held.values()))
        held = {
            (int(panel.symbol[row]), ends[row]): weight
            for row, weight in zip(rows.tolist(), weights.tolist(), strict=True)
            if weight
        }
        found.append((float(weights @ actual[rows]), opened))
    gross, traded = found[-1]
    found[-1] = gross, traded + sum(map(abs, held.values()))
    return found
