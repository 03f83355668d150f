"""Finds out how a text file is written: encoding, separator, and the line with the names of its columns."""

import codecs
import csv
import io
from collections import Counter
from dataclasses import dataclass
from typing import Final

from flows.files.column_names import known_names
from flows.files.errors import TableError

SEPARATORS: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical line"}
_SAMPLE_LINES: Final = 50
_LINES_BEFORE: Final = 20  # lines among which that with the names is
_FEWEST_KNOWN: Final = 2  # names that a line with names has at least, if it isn't the first
_BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WITHOUT_NAMES: Final = {
    5: ("timestamp", "open", "high", "low", "close"),
    6: ("timestamp", "open", "high", "low", "close", "volume"),
    7: ("timestamp", "open", "high", "low", "close", "volume", "trades"),
    12: (
        "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "trades",
        "taker_buy_volume", "taker_buy_quote_volume", "ignore",
    ),
}  # fmt: skip
"""Columns of candles without names: as HistData, ccxt, Kraken and Binance write them."""

_WITH_CLOCK: Final = ("date", "time", "open", "high", "low", "close", "volume")  # MetaTrader 4


@dataclass(frozen=True)
class Dialect:
    """How a text file is written.

    Attributes
    ----------
    separator
        Character between values.
    lines_before
        Lines before the first one with values.
    names
        Of the columns; None if Polars reads them from the line before the values.
    symbols
        Of the columns, where a second line of names has them; None otherwise.
    described
        The same for a user.
    guess
        A sentence about what the file does not say itself, None if it says all.
    """

    separator: str
    lines_before: int
    names: tuple[str, ...] | None
    symbols: tuple[str, ...] | None
    described: str
    guess: str | None = None


def encoding_of(head: bytes) -> str | None:
    """Return the encoding that the first bytes show; None for text that is neither UTF-8 nor UTF-16."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return encoding
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return None
    return "utf-8"


def decoded(content: bytes) -> tuple[str, str]:
    """Return a text that is not UTF-8, and its encoding: UTF-16, GB 18030 or Windows-1252.

    Of the last two, which nothing tells apart for certain, the one is taken in which more names of columns
    are known.

    Raises
    ------
    TableError
        It is none of these.
    """
    marked = encoding_of(content[:4])
    encodings = [marked] if marked not in (None, "utf-8") else ["gb18030", "cp1252"]
    texts = {}
    for encoding in encodings:
        try:
            texts[encoding] = content.decode(encoding)
        except UnicodeDecodeError:
            continue
    if not texts:
        raise TableError("its text is none of UTF-8, UTF-16, GB 18030 and Windows-1252; save it as UTF-8")
    best = max(texts, key=lambda encoding: (_known(texts[encoding]), encoding == "cp1252"))
    return texts[best], best


def _known(text: str) -> int:
    return max((known_names(row) for row in _rows(text, _best_separator(text))[:_LINES_BEFORE]), default=0)


def dialect_of(sample: str) -> Dialect:
    """Return how a text is written.

    Parameters
    ----------
    sample
        Its first lines, whole ones.

    Raises
    ------
    TableError
        It has no names of columns, and is not of a form of candles that is known without.
    """
    separator = _best_separator(sample)
    rows = _rows(sample, separator)
    words = f"{SEPARATORS[separator]} between values"
    if _has_lines_of_symbols(rows):
        return _of_price_and_ticker(separator, rows, words)
    place = _line_of_names(rows)
    if place is None:
        names = _names_by_width(rows)
        guess = f"it has no names of columns; they are taken for {', '.join(names)}"
        return Dialect(separator, 0, names, None, f"{words}, no names of columns", guess)
    return Dialect(separator, place, None, None, f"{words}, names in line {place + 1}")


def _best_separator(sample: str) -> str:
    """Return the separator with which most names are known, else most lines have equally many values."""

    def fitness(separator: str) -> tuple[int, float, int]:
        rows = [row for row in _rows(sample, separator) if row]
        width, count = Counter(len(row) for row in rows).most_common(1)[0] if rows else (1, 0)
        if width == 1:
            return 0, 0.0, 1
        return max(known_names(row) for row in rows[:_LINES_BEFORE]), count / len(rows), width

    return max(SEPARATORS, key=fitness)


def _rows(sample: str, separator: str) -> list[list[str]]:
    lines = sample.splitlines()[:_SAMPLE_LINES]
    try:
        return list(csv.reader(io.StringIO("\n".join(lines)), delimiter=separator))
    except csv.Error:
        return []


def _has_lines_of_symbols(rows: list[list[str]]) -> bool:
    return (
        len(rows) >= 3 and all(rows[:2]) and {rows[0][0].strip(), rows[1][0].strip()} == {"Price", "Ticker"}
    )


def _of_price_and_ticker(separator: str, rows: list[list[str]], words: str) -> Dialect:
    """Return the dialect of a frame of yfinance: lines of fields, of symbols, and with the index's name."""
    fields, symbols = (rows[0], rows[1]) if rows[0][0].strip() == "Price" else (rows[1], rows[0])
    index = rows[2][0] if not any(cell.strip() for cell in rows[2][1:]) else ""
    lines = 3 if index else 2
    return Dialect(
        separator,
        lines,
        (index or "Date", *fields[1:]),
        ("", *symbols[1:]),
        f"{words}, names in {lines} lines: fields, symbols",
    )


def _line_of_names(rows: list[list[str]]) -> int | None:
    """Return the place of the line with names; None if the first line has values already."""
    known = [known_names(row) for row in rows[:_LINES_BEFORE]]
    if known and max(known) >= _FEWEST_KNOWN:
        return known.index(max(known))
    if not rows or len(rows[0]) < min(_WITHOUT_NAMES) or not _are_values(rows[0]):
        return 0
    return None


def _are_values(cells: list[str]) -> bool:
    return sum(any(letter.isdigit() for letter in cell) for cell in cells) > len(cells) / 2


def _names_by_width(rows: list[list[str]]) -> tuple[str, ...]:
    width = len(rows[0])
    if width == len(_WITH_CLOCK) and ":" in rows[0][1]:
        return _WITH_CLOCK
    if width not in _WITHOUT_NAMES:
        raise TableError(
            f"its first line has values and no names, and nothing says what its {width} columns are: "
            "add a first line with names, such as symbol,timestamp,open,high,low,close"
        )
    return _WITHOUT_NAMES[width]
