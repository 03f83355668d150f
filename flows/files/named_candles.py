"""Finds the columns of candles in a file, and decides how its dates and numbers are written."""

from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from flows.files.candle_columns import FIELDS, candle_columns
from flows.files.numbers import decimal_sign
from flows.files.options import DEFAULT, ORDER_WORDS, ReadOptions
from flows.files.presets import preset_of, with_preset
from flows.files.written_times import order_of_dates

NUMBERS: Final = FIELDS[2:]
"""The columns that have numbers."""


@dataclass(frozen=True)
class NamedCandles:
    """Candles with our column names and the file's values, and how these are read.

    Attributes
    ----------
    frame
        Columns `flows.files.candle_columns.FIELDS`, those that the file has.
    options
        With the order of dates and the decimal sign of the whole file.
    understood
        Sentences about the columns.
    notes
        Sentences about columns that are not used.
    """

    frame: pl.DataFrame
    options: ReadOptions
    understood: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def named_candles(frame: pl.DataFrame, options: ReadOptions = DEFAULT) -> NamedCandles:
    """Find the columns of candles, and decide from the whole file how dates and numbers are written.

    Parameters
    ----------
    frame
        A file's columns as read.

    Raises
    ------
    TableError
        A column named by the options is missing, the file has one value for each date, or the order of its
        dates or its decimal sign is unsure.
    """
    options = with_preset(options, "candles")
    columns = candle_columns(frame, options)
    named = columns.frame
    texts = [named[name] for name in NUMBERS if name in named.columns and named[name].dtype == pl.String]
    sign = decimal_sign(texts, options.decimal)
    order = options.date_order
    if order is None and "timestamp" in named.columns:
        order = order_of_dates(named["timestamp"])
    settled = replace(
        options,
        columns={},
        date_order=order,
        decimal=sign,
        timezone=options.timezone or ("UTC" if columns.utc else None),
    )
    understood = [
        "columns: " + ", ".join(f"{ours} = {theirs}" for ours, theirs in columns.sources.items()),
        f"numbers: decimal {sign}",
    ]
    if order is not None:
        understood.append(f"dates: {ORDER_WORDS[order]}")
    preset = preset_of(options, "candles")
    notes = [*columns.notes, *([preset.note] if preset is not None and preset.note else [])]
    return NamedCandles(named, settled, tuple(understood), tuple(notes))
