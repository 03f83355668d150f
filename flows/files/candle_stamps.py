"""Moves candles that a feed stamps with their close to their open."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from flows.files.errors import TableError
from market.close_stamps import stamps_of_closes
from market.instruments import Instrument
from market.time_grid import TimeGridError


def stamped_at_close(instruments: Mapping[str, Instrument]) -> list[str]:
    """Return the symbols whose feeds stamp candles with their close."""
    return [symbol for symbol, instrument in instruments.items() if instrument.stamp == "close"]


def with_opens(
    rows: pl.DataFrame, instruments: Mapping[str, Instrument], timeframe: str, *, dated: bool
) -> tuple[pl.DataFrame, list[str]]:
    """Return candles under their opens, and a note on each symbol whose feed stamps the closes.

    Parameters
    ----------
    rows
        Columns ``symbol`` and ``timestamp`` (Datetime[us] in UTC) among others.
    instruments
        By symbol; candles of other symbols stay where they are.
    dated
        Whether the timestamps are dates without a time of day.

    Raises
    ------
    TableError
        The trading calendar of such a symbol is unknown.
    """
    notes: list[str] = []
    for symbol in stamped_at_close(instruments):
        of_symbol = (rows["symbol"] == symbol).fill_null(False) & rows["timestamp"].is_not_null()
        if not of_symbol.any():
            continue
        closes = rows["timestamp"].filter(of_symbol).dt.replace_time_zone(None)
        try:
            moved = stamps_of_closes(
                instruments[symbol], timeframe, closes.to_numpy().astype("datetime64[us]"), dated=dated
            )
        except TimeGridError as error:
            raise TableError(str(error)) from None
        opens = pl.Series(moved).dt.replace_time_zone("UTC")
        stamps = rows["timestamp"].scatter(of_symbol.arg_true(), opens)
        rows = rows.with_columns(stamps.alias("timestamp"))
        last = int(np.argmax(closes.to_numpy()))
        if closes[last] != moved[last].item():
            notes.append(
                f"{symbol}: its candles are stamped with their close (stamp in the table instruments) and "
                f"were moved to their open, the last from {closes[last]:%Y-%m-%d %H:%M} to "
                f"{moved[last].item():%Y-%m-%d %H:%M} UTC"
            )
    return rows, notes
