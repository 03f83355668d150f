"""Defines an instrument, and reads the packaged table of common ones."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

ASSET_CLASSES = ("crypto", "fx", "metal", "equity", "index", "commodity")


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
    """

    symbol: str
    asset_class: str
    calendar: str
    allow_nonpositive: bool = False
    model_time_zone: str = "UTC"


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
