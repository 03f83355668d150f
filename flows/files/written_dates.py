"""Reads dates as files have them: ``2024.01.02``, ``01/02/2024``, ``20240102``, ``Jan 02, 2024``."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Final

from flows.files.errors import TableError
from flows.files.options import ORDER_WORDS, DateOrder

_MONTHS: Final = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_YEAR_FIRST: Final = (
    re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})"),
    re.compile(r"(\d{4})()(\d{2})(\d{2})"),
    re.compile(r"(\d{4})(年)(\d{1,2})月(\d{1,2})日?"),
)
_NUMBERS: Final = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d{2})")
_WEEKDAY: Final = re.compile(r"(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*[.,]?\s+", re.IGNORECASE)
_MONTH_FIRST: Final = re.compile(r"([a-z]{3,9})\.?[\s-]+(\d{1,2}),?[\s-]+(\d{4})", re.IGNORECASE)
_DAY_FIRST: Final = re.compile(r"(\d{1,2})[\s-]+([a-z]{3,9})\.?,?[\s-]+(\d{4}|\d{2})", re.IGNORECASE)
_FOREIGN: Final = (
    re.compile(r"\d{1,2}[.\s-]+(?:de\s+)?([^\W\d_]{3,})\.?,?[\s-]+(?:de\s+)?(?:\d{4}|\d{2})"),
    re.compile(r"([^\W\d_]{3,})\.?[\s-]+\d{1,2}\.?,?[\s-]+\d{4}"),
)
_CENTURY: Final = 70  # years of two digits from here on are of the 20th century, as POSIX has it


def read_dates(texts: Iterable[str], order: DateOrder | None = None) -> dict[str, date]:
    """Return the date of each text that is one.

    Year first, and names of months, have one reading. Three numbers are read in the order in which every one
    of the file's dates is possible; points between them mean the day first.

    Parameters
    ----------
    order
        The answer, if the user gave one.

    Raises
    ------
    TableError
        The order of the numbers is unsure, or no order fits every date; the message shows the readings. Or a
        month has a name that is not English.
    """
    texts = list(texts)
    found = {text: day for text in texts if (day := _certain_date(text)) is not None}
    _refuse_foreign_months(text for text in texts if text not in found)
    open_texts = [text for text in texts if text not in found and _NUMBERS.fullmatch(text)]
    if not open_texts:
        return found
    order = order or _order(open_texts)
    return found | {text: day for text in open_texts if (day := _ordered_date(text, order)) is not None}


def date_order(texts: Iterable[str]) -> DateOrder | None:
    """Return the order of the numbers in a file's dates, None if they don't depend on one.

    Raises
    ------
    TableError
        As `read_dates`.
    """
    open_texts = [text for text in texts if _NUMBERS.fullmatch(text) and _certain_date(text) is None]
    return _order(open_texts) if open_texts else None


def _certain_date(text: str) -> date | None:
    for pattern in _YEAR_FIRST:
        if found := pattern.fullmatch(text):
            return _date(int(found[1]), int(found[3]), int(found[4]))
    words = _WEEKDAY.sub("", text, count=1)
    if found := _MONTH_FIRST.fullmatch(words):
        return _date(int(found[3]), _month(found[1]), int(found[2]))
    if found := _DAY_FIRST.fullmatch(words):
        return _date(_full_year(found[3]), _month(found[2]), int(found[1]))
    return None


def _refuse_foreign_months(texts: Iterable[str]) -> None:
    for text in texts:
        words = _WEEKDAY.sub("", text, count=1)
        found = next((found for pattern in _FOREIGN if (found := pattern.fullmatch(words))), None)
        if found is not None and not _month(found[1]):
            raise TableError(
                f"the month of the date {text!r} has no English name, and names of other languages are not "
                "read: write its dates with numbers, such as 2024-01-31, or export the file in English"
            )


def _order(texts: Sequence[str]) -> DateOrder:
    """Return the order in which every date of three numbers is possible."""
    short = any(not text[-3].isdigit() for text in texts)  # years of two digits, which may stand first
    orders: tuple[DateOrder, ...] = ("dmy", "mdy", "ymd") if short else ("dmy", "mdy")
    possible = [order for order in orders if all(_ordered_date(text, order) for text in texts)]
    if len(possible) == 1:
        return possible[0]
    if "dmy" in possible and not short and all("." in text for text in texts):
        return "dmy"
    example = min(texts)
    if not possible:
        misfits = {order: next(t for t in texts if not _ordered_date(t, order)) for order in orders}
        shown = "; ".join(f"{misfits[order]!r} is no {ORDER_WORDS[order]}" for order in orders)
        raise TableError(f"its dates have no common order: {shown}; give --date-order dmy, mdy or ymd")
    readings = ", or ".join(f"{_ordered_date(example, order)} ({ORDER_WORDS[order]})" for order in possible)
    raise TableError(
        f"the date {example!r} is {readings}, and no date of the file decides it: give --date-order "
        f"{' or '.join(possible)}"
    )


def _ordered_date(text: str, order: DateOrder) -> date | None:
    found = _NUMBERS.fullmatch(text)
    if found is None:
        return None
    parts: Mapping[str, str] = dict(zip(order, (found[1], found[3], found[4]), strict=True))
    if len(parts["m"]) > 2 or len(parts["d"]) > 2:
        return None
    return _date(_full_year(parts["y"]), int(parts["m"]), int(parts["d"]))


def _full_year(digits: str) -> int:
    year = int(digits)
    return year if len(digits) == 4 else year + (1900 if year >= _CENTURY else 2000)


def _month(name: str) -> int:
    """Return the number of an English month, in full or shortened to three letters and more; else 0."""
    letters = name.lower()
    return next((number for number, month in enumerate(_MONTHS, 1) if month.startswith(letters)), 0)


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None
