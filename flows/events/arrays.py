"""Turns columns of Polars frames into NumPy arrays.

In operations on single columns: for the few rows of a calendar, starting a query takes longer than these.
"""

import numpy as np
import polars as pl

from market.types import BoolArray, DatetimeArray, Float64Array


def column_instants(column: pl.Series) -> DatetimeArray:
    """Return a column of instants as datetime64[us] UTC, (n,); NaT where it is null."""
    return column.cast(pl.Datetime("us")).to_numpy().astype("datetime64[us]")


def texts(column: pl.Series) -> list[str | None]:
    """Return a column of text as a list."""
    return (column if column.dtype == pl.String else column.cast(pl.String)).to_list()


def numbers(column: pl.Series) -> Float64Array:
    """Return a column of numbers, (n,) float64; NaN where it is null."""
    return column.cast(pl.Float64).to_numpy()


def true_or_null(column: pl.Series) -> BoolArray:
    """Return a Boolean column as (n,) bool; null counts as True."""
    # As a number null is NaN, which is not 0.
    return np.asarray(column.cast(pl.Boolean).cast(pl.Float64).to_numpy() != 0)


def true(column: pl.Series) -> BoolArray:
    """Return a Boolean column as (n,) bool; null counts as False."""
    return np.asarray(column.cast(pl.Float64).to_numpy() == 1.0)
