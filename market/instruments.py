"""Defines an instrument, and reads the packaged table of common ones."""

import csv
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

ASSET_CLASSES = ("crypto", "fx", "metal", "equity", "index", "commodity")
STAMPS = ("open", "close")


@dataclass(frozen=True)
class Instrument:
    """A symbol, with what is needed to place its candles in time.

    Attributes
    ----------
    symbol : str
        As stored in the candle tables.
    asset_class : str
        One of `ASSET_CLASSES`.
    calendar : str
        ``24/7``, ``FX``, ``METAL``, ``XNYS`` or another exchange_calendars name, or ``FX:`` and such a
        name; `market.time_grid` says what each means.
    allow_nonpositive : bool
        Whether prices of zero and below are possible, as of oil in April 2020 or of a spread.
    model_time_zone : str
        IANA name of the clock from which the model's five time fields are read.
    anchor : str or None
        Time of day and zone from which intraday candles are counted, such as ``00:00 UTC``; None for the
        calendar's own.
    aggregate_from : str or None
        Timeframe from which candles are aggregated where a timeframe has none; None for the coarsest one
        that has any.
    only_whole_candles : bool
        Whether aggregated candles with missing parts are left out.
    stamp : str
        One of `STAMPS`: whether its files and feeds stamp a candle with its open or with its close. Stored
        candles, and those of requests, are stamped with their open.
    aliases : list of str
        Other names of the symbol, as data providers have them.
    currency : str or None
        In which prices are given, such as ``USD`` or ``USDT``.
    tick_size : float or None
        Smallest step of a price.
    """

    symbol: str
    asset_class: str
    calendar: str
    allow_nonpositive: bool = False
    model_time_zone: str = "UTC"
    # Not in the representation, which is a part of the fingerprints of forecasts that are stored already: the
    # timestamps and candles of a forecast, other parts of it, tell the same.
    anchor: str | None = field(default=None, repr=False)
    aggregate_from: str | None = field(default=None, repr=False)
    only_whole_candles: bool = field(default=False, repr=False)
    stamp: str = field(default="open", repr=False)
    aliases: list[str] = field(default_factory=list, repr=False, hash=False)
    currency: str | None = field(default=None, repr=False)
    tick_size: float | None = field(default=None, repr=False)


@cache
def default_instruments() -> dict[str, Instrument]:
    """Return the packaged table, keyed by symbol.

    The database's table ``instruments`` takes precedence where it has a symbol. A symbol in neither is
    unknown: its trading hours do not follow from its name.
    """
    text = files("market").joinpath("instruments.csv").read_text(encoding="utf-8")
    return {
        row["symbol"]: Instrument(
            row["symbol"],
            row["asset_class"],
            row["calendar"],
            model_time_zone=row["model_time_zone"] or "UTC",
        )
        for row in csv.DictReader(text.splitlines())
    }
