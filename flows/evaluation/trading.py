"""Measures the worth of the median's direction: hit rates, and a long-short portfolio after costs."""

import math
from collections.abc import Mapping
from typing import Final

import msgspec
import numpy as np

from flows.evaluation import non_overlapping
from flows.evaluation.estimates import UNKNOWN, Estimate, mean, share, t_of_mean
from flows.evaluation.panel import Panel
from market.types import Float64Array, Int64Array

FEWEST_FOR_DECILES: Final = 10
FEWEST_FOR_TERCILES: Final = 3

_Held = tuple[int, np.datetime64]  # a symbol, and the candle at which its position ends


class LongShort(msgspec.Struct, frozen=True):
    """A portfolio that is long the symbols of the highest expected moves and short those of the lowest.

    Attributes
    ----------
    step
        Candles for which a portfolio is held.
    portfolio
        ``decile``, ``tercile`` (fewer than 10 symbols), or why there is none.
    gross, net
        Mean gain of a period before and after costs, with a normal interval over periods: basis points of the
        value of one side or, in volatilities, what one side gains if each of its symbols moves by one.
    turnover
        Mean value, or risk, traded in a period over that of one side; 4 if both sides are opened and closed.
    t
        t statistic of `net`.
    """

    step: int
    portfolio: str
    gross: Estimate
    net: Estimate
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


def long_short(panel: Panel, step: int, costs: Float64Array) -> LongShort:
    """Return the gains of a long-short portfolio that is held for `step` candles.

    At each instant, of those that don't overlap, the highest tenth of symbols is bought and the lowest tenth
    sold short (thirds where fewer than 10 symbols have a forecast). The symbols of a side have equal values,
    which sum to 1; in a panel in volatilities they have equal risks, each a value, or a number of units of
    the price, divided by the volatility of its window. A position whose symbol is forecast again from the
    very candle at which it ends is changed to its new size; every other one is closed. Each change of a
    position costs, the first purchase and the last sale too; the drift of values within a period is
    neglected.

    Parameters
    ----------
    costs
        (symbols,) what a change of a position by 1 costs, as a move; symbols where it is NaN take no part.
    """
    usable = np.isfinite(panel.actual_move[:, step - 1]) & np.isfinite(costs)[panel.symbol]
    periods = [
        known
        for rows in non_overlapping.all_symbols(panel, step)
        if len(known := rows[usable[rows]]) >= FEWEST_FOR_TERCILES
    ]
    if not periods:
        reason = f"fewer than {FEWEST_FOR_TERCILES} symbols at every instant"
        return LongShort(step, reason, UNKNOWN, UNKNOWN, math.nan, math.nan)
    gross, paid, turnover = np.array(_periods(panel, periods, step, costs)).T
    net = gross - paid
    largest = max(len(rows) for rows in periods)
    return LongShort(
        step=step,
        portfolio="decile" if largest >= FEWEST_FOR_DECILES else "tercile",
        gross=mean(gross),
        net=mean(net),
        turnover=float(turnover.mean()),
        t=t_of_mean(net),
    )


def portfolio_weights(expected: Float64Array) -> Float64Array:
    """Return the weight of each symbol, (n,), from (n,) expected moves, n ≥ 3.

    Equal expected moves are ordered by their place. All weights are 0 where every expected move is equal.
    """
    count = len(expected)
    weights = np.zeros(count)
    if np.ptp(expected) > 0:
        side = count // 10 if count >= FEWEST_FOR_DECILES else count // 3
        order = np.argsort(expected, kind="stable")
        weights[order[-side:]], weights[order[:side]] = 1 / side, -1 / side
    return weights


def _periods(panel: Panel, periods: list[Int64Array], step: int, costs: Float64Array) -> list[Float64Array]:
    """Return the gross gain, the costs and the turnover of each period, (3,) each."""
    expected = panel.scores[panel.model].expected_move[:, step - 1] * panel.scale
    actual, ends = panel.actual_move[:, step - 1], panel.ends[:, step - 1]

    def trade(change: float, row: int) -> Float64Array:
        return abs(change) * np.array([0.0, costs[panel.symbol[row]], 1 / panel.scale[row]])

    def closing(positions: Mapping[_Held, tuple[float, int]]) -> Float64Array:
        return sum((trade(size, row) for size, row in positions.values()), np.zeros(3))

    found: list[Float64Array] = []
    held: dict[_Held, tuple[float, int]] = {}
    for rows in periods:
        sizes = portfolio_weights(expected[rows]) * panel.scale[rows]
        figures = np.array([sizes @ actual[rows], 0.0, 0.0])
        for row, size in zip(rows.tolist(), sizes.tolist(), strict=True):
            before, _ = held.pop((int(panel.symbol[row]), panel.start[row]), (0.0, row))
            figures += trade(size - before, row)
        if found:  # what no forecast goes on from is closed at its end: a cost of the period before
            found[-1] += closing(held)
        held = {
            (int(panel.symbol[row]), ends[row]): (size, row)
            for row, size in zip(rows.tolist(), sizes.tolist(), strict=True)
            if size
        }
        found.append(figures)
    found[-1] += closing(held)
    return found
