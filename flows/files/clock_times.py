"""Reads times of day with or without a zone: ``09:30``, ``8:30am``, ``153000``, ``09:30:00 GMT+0100``."""

import re
from dataclasses import dataclass
from typing import Final

from flows.files.zones import is_zone

_CLOCK: Final = re.compile(
    r"(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s*([ap]\.?m\.?)?\s*(.*)", re.IGNORECASE
)
_DIGITS: Final = re.compile(r"(\d{2})(\d{2})(\d{2})?()()\s*(.*)")
_OFFSET: Final = re.compile(r"(?:UTC|GMT)?\s*([+-])(\d{1,2})(?::?(\d{2}))?", re.IGNORECASE)
_ABBREVIATION: Final = re.compile(r"[A-Z]{2,5}")


@dataclass(frozen=True)
class ClockTime:
    """A time of day as written.

    Attributes
    ----------
    microseconds
        Since midnight.
    offset_minutes
        Of its zone from UTC; None unless it is written.
    zone
        Name of its zone, such as ``US/Eastern``, or an abbreviation such as ``EST``; None unless written.
    twelve_hours
        Whether it has am or pm.
    """

    microseconds: int
    offset_minutes: int | None = None
    zone: str | None = None
    twelve_hours: bool = False


def read_clock(text: str) -> ClockTime | None:
    """Return the time of day that a text is, or None."""
    found = _CLOCK.fullmatch(text) or _DIGITS.fullmatch(text)
    if found is None:
        return None
    hour, minute, second = int(found[1]), int(found[2]), int(found[3] or 0)
    if found[5]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if found[5][0] in "pP" else 0)
    zone = _zone(found[6].strip())
    if hour > 23 or minute > 59 or second > 59 or zone is None:
        return None
    fraction = int((found[4] or "").ljust(6, "0")[:6])
    microseconds = ((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction
    return ClockTime(microseconds, *zone, twelve_hours=bool(found[5]))


def _zone(text: str) -> tuple[int | None, str | None] | None:
    """Return offset and name of a written zone, both None for no text; None for other text."""
    if not text:
        return None, None
    if text.upper() in ("Z", "UTC", "GMT"):
        return 0, None
    if found := _OFFSET.fullmatch(text):
        minutes = int(found[2]) * 60 + int(found[3] or 0)
        return (-minutes if found[1] == "-" else minutes), None
    return (None, text) if is_zone(text) or _ABBREVIATION.fullmatch(text) else None
