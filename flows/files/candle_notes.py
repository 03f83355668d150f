"""Notes on candles that a loader accepts: unadjusted splits, timestamps off the calendar."""

from collections.abc import Iterator, Mapping

import numpy as np
import polars as pl

from market.candle_warnings import split_words
from market.feed_grid import feed_grid
from market.instruments import Instrument
from market.splits import find_splits

_GRID_FROM = 512  # last candles of a symbol that its grid is derived from


def candle_notes(candles: pl.DataFrame, timeframe: str, instruments: Mapping[str, Instrument]) -> list[str]:
    """Return a sentence for each unusual feature of candles that is no reason to refuse them.

    Parameters
    ----------
    candles
        Columns of `flows.runtime.table_columns.CANDLES`, ordered by symbol and time.
    instruments
        By symbol, for every symbol of `candles`.
    """
    return [
        f"{symbol}: {note}"
        for (symbol,), part in candles.partition_by("symbol", as_dict=True, maintain_order=True).items()
        for note in _notes(part, timeframe, instruments[str(symbol)])
    ]


def _notes(part: pl.DataFrame, timeframe: str, instrument: Instrument) -> Iterator[str]:
    stamps = part["ts"].dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")
    values = part.select("open", "high", "low", "close", "volume", "amount").cast(pl.Float64).to_numpy()
    for split in find_splits(stamps, values):
        yield split_words(stamps, split)
    recent = stamps[-_GRID_FROM:]
    if feed_grid(instrument, timeframe, recent).own:
        last = np.datetime_as_string(recent[-1], unit="m")
        yield (
            f"candles are not on the times of calendar {instrument.calendar}, the last at {last}Z; forecasts "
            "continue at the feed's own times"
        )
