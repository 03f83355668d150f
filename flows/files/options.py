"""Defines what a user can say about a file: its columns, zone, order of dates, decimal sign and provider."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from flows.files.errors import TableError

DateOrder = Literal["ymd", "mdy", "dmy"]
Decimal = Literal["point", "comma"]
PresetName = Literal[
    "akshare", "binance", "finnhub", "forexfactory", "fred", "investing", "metatrader", "yfinance"
]

ORDER_WORDS: Final[Mapping[DateOrder, str]] = {
    "ymd": "year, month, day",
    "mdy": "month, day, year",
    "dmy": "day, month, year",
}


@dataclass(frozen=True)
class ReadOptions:
    """How a file is read, where the file itself leaves it open.

    Attributes
    ----------
    columns
        The file's name of a column by ours: ``{"timestamp": "Datum"}``; an empty name for no column.
    timezone
        Zone of times that are written without one.
    date_order
        Order of the numbers in dates such as ``01/02/2024``.
    decimal
        Whether a comma or a point stands before the decimals.
    preset
        Name of a provider, a key of `flows.files.presets.PRESETS`.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    timezone: str | None = None
    date_order: DateOrder | None = None
    decimal: Decimal | None = None
    preset: PresetName | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the options that are set, as JSON has them."""
        settings = {
            "columns": dict(self.columns),
            "timezone": self.timezone,
            "date_order": self.date_order,
            "decimal": self.decimal,
            "preset": self.preset,
        }
        return {name: value for name, value in settings.items() if value}


DEFAULT: Final = ReadOptions()


def columns_of(text: str) -> dict[str, str]:
    """Return the columns that ``timestamp=Datum,close=Schluss`` names.

    Raises
    ------
    TableError
        A part has no equals sign, or no name before it.
    """
    columns = {}
    for part in text.split(","):
        ours, equals, theirs = (piece.strip() for piece in part.partition("="))
        if not (ours and equals):
            raise TableError(
                f"{part.strip()!r} names no column; expected the name of the help, an equals sign and the "
                "file's name, such as timestamp=Datum,close=Schluss"
            )
        columns[ours] = theirs
    return columns
