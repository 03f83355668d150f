"""Computes the forecasts that a model is compared with, from the closes of the model's own window."""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from flows.scoring.random_walk import Walk, price_walk, random_walk

RANDOM_WALK: Final = "random walk"
PERSISTENCE: Final = "persistence"
HISTORICAL_VOLATILITY: Final = "historical volatility 20"
BASELINES: Final = (RANDOM_WALK, PERSISTENCE, HISTORICAL_VOLATILITY)

VOLATILITY_CANDLES: Final = 20


def baseline_forecasts(closes: ArrayLike, pred_len: int, *, differences: bool = False) -> dict[str, Walk]:
    """Return the baselines of a window, by name; the median of each is the last close.

    - ``random walk``: `flows.scoring.random_walk.random_walk`, with the volatility of the whole window.
    - ``persistence``: the last close at every step, without any width.
    - ``historical volatility 20``: a random walk with the standard deviation of the last 20 log returns,
      times √step (Hull, "Options, Futures, and Other Derivatives", on volatility from historical data).

    Parameters
    ----------
    closes
        (T,) closes of the window, oldest first.
    pred_len
        Future candles.
    differences
        Whether the moves are price differences instead of log returns: those of a price that may be zero or
        negative. The price, not its log, is then normal.

    Raises
    ------
    ValueError
        Fewer than three closes, one that is not finite or, without `differences`, one that is not above 0.
    """
    prices = np.asarray(closes, dtype=np.float64)
    if len(prices) < 3:
        raise ValueError(f"{len(prices)} closes given; a standard deviation of moves needs at least three")
    recent = prices[-(VOLATILITY_CANDLES + 1) :]
    walk: Walk = price_walk(prices, pred_len) if differences else random_walk(prices, pred_len)
    moves = np.diff(recent if differences else np.log(recent))
    return {
        RANDOM_WALK: walk,
        PERSISTENCE: replace(walk, sigma=np.zeros(pred_len)),
        HISTORICAL_VOLATILITY: replace(walk, sigma=moves.std(ddof=1) * np.sqrt(np.arange(1, pred_len + 1))),
    }
