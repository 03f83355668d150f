"""Columns of the database's tables and their Polars types, each table once.

Frames that hold a part of a table's columns take their types from here: see `part`.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import polars as pl

from market.timeframes import TIMEFRAMES

Columns = Mapping[str, pl.DataType]

_TIME: Final = pl.Datetime("us", "UTC")
_DATE: Final = pl.Date()
_TEXT: Final = pl.String()
_NUMBER: Final = pl.Float64()
_FLAG: Final = pl.Boolean()

CANDLES: Final[Columns] = {  # ohlcv_1m to ohlcv_1w
    "symbol": _TEXT,
    "ts": _TIME,
    "open": _NUMBER,
    "high": _NUMBER,
    "low": _NUMBER,
    "close": _NUMBER,
    "volume": _NUMBER,
    "amount": _NUMBER,
}
AGGREGATED: Final[Columns] = {  # candles that were aggregated from those of a finer timeframe
    **CANDLES,
    "aggregated_from": pl.Enum(TIMEFRAMES),
    "missing_parts": pl.Int64(),
}
INSTRUMENTS: Final[Columns] = {
    "symbol": _TEXT,
    "asset_class": _TEXT,
    "calendar": _TEXT,
    "allow_nonpositive": _FLAG,
    "model_time_zone": _TEXT,
    "active": _FLAG,
    "anchor": _TEXT,
    "aggregate_from": _TEXT,
    "only_whole_candles": _FLAG,
    "stamp": _TEXT,
    "aliases": _TEXT,  # as a file has them
    "currency": _TEXT,
    "tick_size": _NUMBER,
}
ECONOMIC_CALENDAR: Final[Columns] = {
    "event_time": _TIME,
    "time_known": _FLAG,
    "scheduled": _FLAG,
    "country": _TEXT,
    "currency": _TEXT,
    "symbol": _TEXT,
    "event_type": _TEXT,
    "title": _TEXT,
    "impact": _TEXT,
    "actual": _NUMBER,
    "forecast": _NUMBER,
    "previous": _NUMBER,
    "hawkish_score": _NUMBER,
    "source": _TEXT,
    "withdrawn_at": _TIME,
}
CENTRAL_BANK_RATES: Final[Columns] = {
    "bank": _TEXT,
    "decision_time": _TIME,
    "time_known": _FLAG,
    "scheduled": _FLAG,
    "rate": _NUMBER,
    "previous": _NUMBER,
    "forecast": _NUMBER,
    "source": _TEXT,
}
ECONOMIC_INDICATORS: Final[Columns] = {
    "series_id": _TEXT,
    "date": _DATE,
    "value": _NUMBER,
    "known_on": _DATE,
    "source": _TEXT,
}


def part(table: Columns, names: Iterable[str]) -> dict[str, pl.DataType]:
    """Return some columns of a table, in the order of `names`."""
    return {name: table[name] for name in names}
