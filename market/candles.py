"""Turns columns of candles into the six features that the model reads, filling or refusing gaps."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from market.types import Float64Array

FEATURES = ("open", "high", "low", "close", "volume", "amount")

LARGEST = 1e17
"""Largest magnitude of a value: standard deviations are taken in float32, where larger squares overflow."""


class CandleError(ValueError):
    """Candles that cannot be used; `column` and `row` (from 0, None for the entire column) say where."""

    def __init__(self, message: str, column: str, row: int | None = None) -> None:
        super().__init__(message)
        self.column = column
        self.row = row


def candle_features(
    open: ArrayLike,
    high: ArrayLike,
    low: ArrayLike,
    close: ArrayLike,
    volume: ArrayLike | None = None,
    amount: ArrayLike | None = None,
) -> Float64Array:
    """Return candles as one C-contiguous (T, 6) array in the order of `FEATURES`, raw units.

    Missing volume zeroes volume and amount; missing amount alone becomes volume × mean(open, high, low,
    close) in float64, as the upstream predictor does.

    Parameters
    ----------
    open, high, low, close, volume, amount
        One value per candle, oldest first, all of the same length T.

    Raises
    ------
    CandleError
        If a column differs in length, or holds NaN, infinity or a magnitude above `LARGEST`.
    """
    prices = {"open": open, "high": high, "low": low, "close": close}
    columns = {name: _column(name, values) for name, values in prices.items()}
    count = len(columns["open"])
    if volume is None:
        columns["volume"] = columns["amount"] = np.zeros(count)
    else:
        columns["volume"] = _column("volume", volume)
        if amount is not None:
            columns["amount"] = _column("amount", amount)
    for name, values in columns.items():
        if len(values) != count:
            raise CandleError(f"{name} has {len(values)} values and open has {count}; expected as many", name)
    if "amount" not in columns:
        mean_price = np.stack([columns[name] for name in prices], axis=1).mean(axis=1)
        columns["amount"] = _finite("amount (volume × mean price)", columns["volume"] * mean_price)
    return np.stack([columns[name] for name in FEATURES], axis=1)


def features_without_gaps(candles: Float64Array) -> Float64Array:
    """Return candles whose volume and amount are filled as if a column with a gap were absent.

    Parameters
    ----------
    candles
        (T, 6) in the order of `FEATURES`, raw units; NaN where volume or amount is unknown.

    Returns
    -------
    array
        (T, 6), finite; `candle_features` says what an absent column becomes.

    Raises
    ------
    CandleError
        If a price is not finite, or a magnitude is above `LARGEST`.
    """
    opens, highs, lows, closes, volume, amount = candles.T
    return candle_features(
        opens,
        highs,
        lows,
        closes,
        volume if np.isfinite(volume).all() else None,
        amount if np.isfinite(amount).all() else None,
    )


def candle_columns(columns: Mapping[str, Sequence[float | None] | None]) -> Float64Array:
    """Return candles as a (T, 6) array in the order of `FEATURES`, NaN where volume or amount is unknown.

    Parameters
    ----------
    columns
        By name: one value per candle, oldest first, all of the same length T. None for a value, or an entire
        column, that is unknown; prices must all be known.

    Raises
    ------
    CandleError
        If a column differs in length, a price is missing, or a value is infinite or above `LARGEST`.
    """
    known_columns = {name: values for name, values in columns.items() if values is not None}
    count = len(known_columns["open"])
    for name, values in known_columns.items():
        if len(values) != count:
            raise CandleError(f"{name} has {len(values)} values and open has {count}; expected as many", name)
    arrays = {name: np.array(values, dtype=np.float64) for name, values in known_columns.items()}
    for name, column in arrays.items():
        known = ~np.isnan(column)
        if name in FEATURES[:4] and not known.all():
            row = int(np.argmin(known))
            raise CandleError(f"{name} is missing in row {row}; expected a finite number", name, row)
        _finite(name, np.where(known, column, 0.0))
    unknown = np.full(count, np.nan)
    return np.stack([arrays.get(name, unknown) for name in FEATURES], axis=1)


def _column(name: str, values: ArrayLike) -> Float64Array:
    """Return one column as float64; raise `CandleError` unless it is one usable value per candle."""
    column = np.asarray(values, dtype=np.float64)
    if column.ndim != 1:
        raise CandleError(f"{name} has shape {column.shape}; expected one value per candle", name)
    return _finite(name, column)


def _finite(name: str, column: Float64Array) -> Float64Array:
    usable = np.abs(column) <= LARGEST  # False for NaN and infinity too
    if not usable.all():
        row = int(np.argmin(usable))
        raise CandleError(
            f"{name} is {column[row]} in row {row}; expected a finite number within ±{LARGEST:g}", name, row
        )
    return column
