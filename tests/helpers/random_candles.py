"""Candles of a random walk, and instruments of which only the calendar matters."""

import numpy as np

from market.instruments import Instrument
from market.types import Float64Array


def instrument(calendar: str, **about: str | None) -> Instrument:
    """Return an instrument of a calendar."""
    return Instrument("X", "equity", calendar, **about)  # type: ignore[arg-type]


def random_candles(count: int, seed: int = 0) -> Float64Array:
    """Return candles, (count, 6), whose prices do not contradict each other."""
    rng = np.random.default_rng(seed)
    closes = 100 + rng.normal(0, 1, count).cumsum()
    opens = closes + rng.normal(0, 1, count)
    high, low = np.maximum(opens, closes) + rng.random(count), np.minimum(opens, closes) - rng.random(count)
    volume, amount = rng.random((2, count)).round(3) * 100
    return np.column_stack([opens, high, low, closes, volume, amount])
