"""Continues a generated market from its last stored candles up to an instant, without a random state to keep.

Each candle's random numbers are drawn from a generator that follows from the seed, the symbol and the hour
of the candle, so the same market continues the same way, whenever and however often that is done.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import polars as pl

from flows.generated.market import CHARACTERS, SEED, days_of, hourly_widths
from flows.generated.releases import generated_releases
from market.instruments import default_instruments
from market.time_grid import candle_bounds, closed_by, future_timestamps, past_timestamps
from market.timeframes import CANDLE_LENGTH
from market.types import DatetimeArray, Float64Array

_FIRST_RELEASE: Final = datetime(2020, 1, 1, tzinfo=UTC)
"""Start of the calendar, the same at any time, since the figures are drawn from there on."""
_AHEAD: Final = timedelta(days=200)
_TYPICAL: Final = 200
"""Candles whose dates tell how many hours a trading day has."""


def current_releases(now: datetime, seed: int = SEED) -> pl.DataFrame:
    """Return the calendar as it is known at an instant; figures that were published stay as they are.

    Parameters
    ----------
    now
        Aware instant.

    Returns
    -------
    polars.DataFrame
        Columns of `flows.generated.releases.COLUMNS`; goes on for 200 days.
    """
    return generated_releases(_FIRST_RELEASE, now + _AHEAD, now=now, seed=seed)


def next_hours(
    symbol: str,
    last: np.datetime64,
    last_close: float,
    until: np.datetime64,
    releases: DatetimeArray,
    seed: int = SEED,
) -> pl.DataFrame:
    """Return the hourly candles of a symbol that follow one and have closed by an instant.

    Parameters
    ----------
    symbol
        One of `CHARACTERS`.
    last, last_close
        Timestamp, UTC, and close of the last candle that there is.
    until
        Instant, UTC.
    releases
        `flows.generated.market.widening_releases`.

    Returns
    -------
    polars.DataFrame
        symbol, timestamp (UTC), open, high, low, close, volume, oldest first; empty if no candle has closed.
    """
    instrument, character = default_instruments()[symbol], CHARACTERS[symbol]
    labels = _closed_after(symbol, "1h", last, until)
    opens, closes = candle_bounds(instrument, "1h", labels)
    dates = past_timestamps(instrument, "1h", last, _TYPICAL).astype("datetime64[D]")
    bars_per_day = _TYPICAL / len(np.unique(dates))
    width = hourly_widths(character, labels, opens, closes, releases, bars_per_day)
    number = list(CHARACTERS).index(symbol) + 1
    common = _draws(labels, seed, 0, 1)[:, 0]
    own, gap, above, below, busy = _draws(labels, seed, number, 5).T
    steps = width * (character.factor * common + np.sqrt(1 - character.factor**2) * own)
    close = character.price * np.exp(_walk(np.log(last_close / character.price), steps, character.reversion))
    before = np.concatenate([[last_close], close[:-1]])
    open_ = before * np.exp(0.02 * width * gap)
    prices = {
        "open": open_,
        "high": np.maximum(open_, close) * np.exp(0.5 * np.abs(above) * width),
        "low": np.minimum(open_, close) * np.exp(-0.5 * np.abs(below) * width),
        "close": close,
    }
    rounded = {name: np.round(values, character.decimals) for name, values in prices.items()}
    volume = np.round(character.hourly_volume * np.exp(0.35 * busy))
    return pl.DataFrame({"timestamp": labels, **rounded, "volume": volume}).select(
        pl.lit(symbol).alias("symbol"),
        pl.col("timestamp").dt.replace_time_zone("UTC"),
        pl.exclude("timestamp"),
    )


def next_days(symbol: str, last: np.datetime64, hours: pl.DataFrame, until: np.datetime64) -> pl.DataFrame:
    """Return the daily candles of a symbol that follow one and have closed by an instant.

    Parameters
    ----------
    last
        Date of the last daily candle that there is.
    hours
        The symbol's hourly candles of those days: timestamp, open, high, low, close, volume, oldest first.
    until
        Instant, UTC.
    """
    labels = _closed_after(symbol, "1d", last, until)
    days = days_of(default_instruments()[symbol], hours, labels) if labels.size else hours.clear()
    return days.select(pl.lit(symbol).alias("symbol"), pl.all())


def _closed_after(symbol: str, timeframe: str, last: np.datetime64, until: np.datetime64) -> DatetimeArray:
    """Return the timestamps after the last one of the candles that have closed by an instant."""
    instrument = default_instruments()[symbol]
    count = max(int((until - last) / CANDLE_LENGTH[timeframe]) + 1, 1)
    labels = future_timestamps(instrument, timeframe, last, count)
    return labels[closed_by(instrument, timeframe, labels, until)]


def _draws(labels: DatetimeArray, seed: int, number: int, count: int) -> Float64Array:
    """Return normal random numbers, (n, count), one row for each hour."""
    hours = labels.astype("datetime64[h]").astype(np.int64).tolist()
    rows = [np.random.default_rng([seed, number, hour]).standard_normal(count) for hour in hours]
    return np.array(rows).reshape(len(hours), count)


def _walk(start: float, steps: Float64Array, reversion: float) -> Float64Array:
    """Return the walk that follows a position, (n,): x[t] = (1 − reversion)·x[t−1] + steps[t]."""
    positions, position = [], start
    for step in steps.tolist():
        position = (1 - reversion) * position + step
        positions.append(position)
    return np.array(positions)
