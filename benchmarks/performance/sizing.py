"""Computes how many cores a number of symbols an hour needs, from the measured cost of one."""

import math
from dataclasses import dataclass
from typing import Final

from flows.runtime.time_limits import CLOSING_S, HOURLY_RUN_S

# All candles of an hour close at once; a run sends requests until its end, less the time for storing answers.
WINDOW_S: Final = HOURLY_RUN_S - CLOSING_S
# Sizes whose hourly batch is measured.
SIZES: Final = ("mini", "base")
SYMBOLS: Final = (25, 1_000, 10_000, 100_000)
# Forecasts that are to be there within so many seconds of the candles' close.
SOON_S: Final = 300.0


@dataclass(frozen=True)
class Cost:
    """What a forecast costs with one size and precision.

    Attributes
    ----------
    core_s
        Seconds of one core for each symbol.
    """

    size: str
    precision: str
    core_s: float


def cost(size: str, precision: str, seconds: float, cores: int, symbols: int) -> Cost:
    """Return the cost of a symbol in a batch that kept all cores of a machine busy."""
    return Cost(size, precision, seconds * cores / symbols)


def in_words(cost: Cost, symbols: int) -> str:
    """Return the whole cores for an hourly run of so many symbols, and for forecasts that are there soon."""
    hourly, soon = (math.ceil(cores(cost, symbols, within_s)) for within_s in (WINDOW_S, SOON_S))
    return f"{hourly:,} ({soon:,})"


def cores(cost: Cost, symbols: int, within_s: float = WINDOW_S) -> float:
    """Return how many cores forecast so many symbols within a time, where none waits for another."""
    return symbols * cost.core_s / within_s


def cheapest(costs: list[Cost], size: str) -> Cost:
    """Return the precision of a size that needs the fewest cores."""
    return min((each for each in costs if each.size == size), key=lambda each: each.core_s)
