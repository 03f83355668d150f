"""Checks instruments of a file and gives them the columns of the table ``instruments``."""

from typing import Final

import numpy as np
import polars as pl

from flows.files.frames import TableError, conform, refuse
from flows.runtime.table_columns import INSTRUMENTS
from market.instruments import ASSET_CLASSES, STAMPS, Instrument
from market.time_features import known_time_zones
from market.time_grid import TimeGridError, candle_bounds
from market.timeframes import UnknownTimeframe, parse_timeframe

_CURRENCY: Final = r"^[A-Z][A-Z0-9]{2,9}$"
_SOME_DAY: Final = np.array(["2024-06-03"], dtype="datetime64[us]")


def instruments(frame: pl.DataFrame) -> pl.DataFrame:
    """Check instruments and give them the columns of the table.

    Several aliases of an instrument are one text with semicolons between them, or a list.

    Raises
    ------
    TableError
        For missing values, an unknown asset class, calendar, time zone, anchor, timeframe or stamp, a
        currency that is no code, a tick size of zero or below, and contradictory rows.
    """
    if "aliases" in frame.columns and frame["aliases"].dtype == pl.List(pl.String):
        frame = frame.with_columns(pl.col("aliases").list.join(";"))
    frame = conform(frame, INSTRUMENTS, ["symbol", "asset_class", "calendar"], ["symbol"])
    for column, allowed in (("asset_class", ASSET_CLASSES), ("stamp", STAMPS)):
        refuse(
            frame.filter(~pl.col(column).is_in(allowed)),
            ["symbol", column],
            f"{column} is none of {', '.join(allowed)}",
        )
    refuse(
        frame.filter(~pl.col("model_time_zone").is_in(list(known_time_zones()))),
        ["symbol", "model_time_zone"],
        "model_time_zone is no IANA time zone such as Asia/Shanghai",
    )
    refuse(
        frame.filter(~pl.col("currency").str.contains(_CURRENCY)),
        ["symbol", "currency"],
        "currency is no code in capital letters, such as USD, GBX or USDT",
    )
    refuse(frame.filter(pl.col("tick_size") <= 0), ["symbol", "tick_size"], "tick_size is not above zero")
    names = pl.col("aliases").str.split(";").list.eval(pl.element().str.strip_chars())
    return frame.with_columns(
        aggregate_from=_sources(frame),
        aliases=names.list.eval(pl.element().filter(pl.element() != "")).list.unique(maintain_order=True),
    )


def instruments_of(rows: pl.DataFrame) -> dict[str, Instrument]:
    """Return the instruments of rows that `instruments` checked, by symbol."""
    found = {}
    for row in rows.drop("active").to_dicts():
        found[row["symbol"]] = Instrument(**{name: value for name, value in row.items() if value is not None})
    return found


def _sources(frame: pl.DataFrame) -> pl.Series:
    """Return the timeframes to aggregate from, and refuse unknown ones, anchors and calendars."""
    sources = []
    columns = frame.select("symbol", "asset_class", "calendar", "anchor", "aggregate_from")
    for symbol, asset_class, name, anchor, source in columns.iter_rows():
        try:
            candle_bounds(Instrument(symbol, asset_class, name, anchor=anchor), "4h", _SOME_DAY)
            sources.append(None if source is None else parse_timeframe(source))
        except (TimeGridError, UnknownTimeframe) as error:
            raise TableError(f"{symbol}: {error}") from None
    return pl.Series(sources, dtype=pl.String())
