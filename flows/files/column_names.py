"""Lists the names that files give to the columns of candles and calendars, in several languages."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

Names = Mapping[str, tuple[str, ...]]
"""Names of files by ours, as `normal_name` writes them, the preferred ones first."""

TIMESTAMP: Final = (
    "timestamp", "timestamps", "ts", "datetime", "date time", "date and time", "datetime utc", "unix",
    "unix timestamp", "unix time", "epoch", "open time", "opentime", "open timestamp",
    "candle begin time", "gmt time", "utc time", "time utc", "time (utc)", "timestamp utc",
    "local time", "日時", "event time", "t",
)  # fmt: skip
"""Names of a column that has date and time."""

DATE: Final = (
    "date", "trade date", "trading date", "trade day", "day", "datum", "fecha", "data", "дата", "日期",
    "交易日期", "日付", "날짜", "dtyyyymmdd", "release date", "event date",
)  # fmt: skip
"""Names of a column with dates, or with dates and times."""

TIME: Final = (
    "time", "zeit", "uhrzeit", "heure", "hora", "ora", "время", "时间", "時間", "시간", "trade time",
    "release time",
)  # fmt: skip
"""Names of a column with times of day, or with dates and times."""

INDEX: Final = ("", "index", "unnamed: 0", "index level 0")
"""Names of the column in which pandas writes an index without a name."""

CANDLE: Final[Names] = {
    "symbol": (
        "symbol", "ticker", "ts code", "instrument", "代码", "股票代码", "证券代码", "銘柄コード",
    ),
    "open": (
        "open", "o", "open price", "first", "eröffnung", "eröffnungskurs", "eröffn", "erster",
        "ouverture", "ouv", "apertura", "abertura", "откр", "开盘", "开盘价", "始値", "시가",
    ),
    "high": (
        "high", "h", "high price", "hoch", "tageshoch", "plus haut", "haut", "max", "maximum", "máximo",
        "máxima", "massimo", "макс", "最高", "最高价", "高値", "고가",
    ),
    "low": (
        "low", "l", "low price", "tief", "tagestief", "plus bas", "bas", "min", "minimum", "mínimo",
        "mínima", "minimo", "мин", "最低", "最低价", "安値", "저가",
    ),
    "close": (
        "close", "c", "close/last", "close price", "schluss", "schlusskurs", "clôture", "cierre",
        "chiusura", "fechamento", "收盘", "收盘价", "終値", "종가", "last", "last price", "price",
        "zuletzt", "dernier", "último", "ultimo", "цена",
    ),
    "volume": (
        "volume", "v", "vol", "real volume", "volumen", "volume traded", "volumes", "объём", "成交量",
        "出来高", "거래량", "tick volume", "tickvol", "tick vol",
    ),
    "amount": (
        "amount", "quote volume", "quote asset volume", "value traded", "成交额", "成交金额",
        "売買代金", "거래대금", "turnover",
    ),
}  # fmt: skip

CALENDAR: Final[Names] = {
    "title": (
        "title", "event", "event name", "name", "indicator", "report", "事件",
    ),
    "country": (
        "country", "region", "地区",
    ),
    "currency": (
        "currency", "cur", "ccy",
    ),
    "impact": (
        "impact", "importance", "imp", "volatility", "star", "重要性",
    ),
    "actual": (
        "actual", "act", "公布",
    ),
    "forecast": (
        "forecast", "consensus", "estimate", "expected", "预期",
    ),
    "previous": (
        "previous", "prev", "prior", "前值",
    ),
}  # fmt: skip

OTHER_TABLES: Final = (
    "event type", "bank", "decision time", "rate", "series id", "value", "known on", "observation date",
    "asset class", "calendar", "adj close", "adjusted close", "change %", "pct chg", "spread",
    "close time",
)  # fmt: skip
"""More names by which the line with the names of a text file is found."""


@lru_cache(maxsize=4096)
def normal_name(name: str) -> str:
    """Return a name in small letters, without ``<>*"'`` and a point at its end, and with single blanks."""
    letters = name.casefold().strip("<>*\"' \ufeff\u3000").replace("_", " ").replace("-", " ")
    return " ".join(letters.split()).removesuffix(".").removesuffix(" *")


@lru_cache(maxsize=1)
def _all_names() -> frozenset[str]:
    groups: list[Sequence[str]] = [TIMESTAMP, DATE, TIME, OTHER_TABLES, *CANDLE.values(), *CALENDAR.values()]
    return frozenset(name for group in groups for name in group)


def known_names(names: Iterable[str]) -> int:
    """Return how many of some names are known."""
    return sum(normal_name(name) in _all_names() for name in names)


def found(names: Sequence[str], columns: Mapping[str, str]) -> list[str]:
    """Return a file's columns that have one of some names, in the order of the names.

    Parameters
    ----------
    columns
        The file's columns by their normal names.
    """
    return [columns[name] for name in names if name in columns]
