"""Reads the values of command lines, environment variables and flow parameters: names, instants, numbers."""

import argparse
import math
from datetime import UTC, datetime
from typing import Any, Final

from market.timeframes import TIMEFRAMES, Timeframe, UnknownTimeframe, parse_timeframe
from market.times import in_utc


def names_in(text: str) -> list[str]:
    """Return the names in a list like ``A, B``, without the blanks around them."""
    return [name.strip() for name in text.split(",") if name.strip()]


def as_utc(as_of: datetime | None) -> datetime:
    """Return an instant in UTC: the current one for None; a time without a zone means UTC."""
    return datetime.now(UTC) if as_of is None else in_utc(as_of)


def instant(text: str) -> datetime:
    """Return the instant in an ISO 8601 text, in UTC; a type of argparse.

    Raises
    ------
    argparse.ArgumentTypeError
        The text is not ISO 8601.
    """
    try:
        return in_utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError) as error:  # the latter beside the years 1 and 9999
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an ISO 8601 instant; expected a date or a time, such as 2024-01-31 or "
            "2024-01-31T12:00Z (UTC unless it names a zone)"
        ) from error


def timeframe(text: str) -> Timeframe:
    """Return the timeframe that a text names, such as ``1h`` or ``60m``; a type of argparse.

    Raises
    ------
    argparse.ArgumentTypeError
        There is no such timeframe.
    """
    try:
        return parse_timeframe(text)
    except UnknownTimeframe as error:
        raise argparse.ArgumentTypeError(str(error)) from None


TIMEFRAME: Final[dict[str, Any]] = {"type": timeframe, "metavar": f"{{{','.join(TIMEFRAMES)}}}"}
"""Settings of an argument that is a timeframe."""


def positive(text: str) -> int:
    """Return the whole number above 0 in a text; a type of argparse.

    Raises
    ------
    argparse.ArgumentTypeError
        The text is not such a number.
    """
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return number


def not_negative(text: str) -> float:
    """Return the finite number of 0 and above in a text; a type of argparse.

    Raises
    ------
    argparse.ArgumentTypeError
        The text is not such a number.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 and above")
    return number
