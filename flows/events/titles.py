"""Normalises the titles and currencies of calendar rows, and compares titles."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

_MONTHS: Final = "|".join(
    f"{name[:3]}(?:{name[3:]}|{name[3:4]})?\\.?"
    for name in (
        "january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
        "november", "december",
    )
)  # fmt: skip
_NUMBERS: Final = r"(?:[\s/.,'’-]*\d{1,4})*"
_PERIOD: Final = re.compile(  # (Mar), (March 2024), (Mar/24), (Jun/20), (Q1), (Q4 2023), (H1), (2024)
    rf"\(\s*(?:(?:{_MONTHS}){_NUMBERS}|[qh][1-4]{_NUMBERS}|\d{{4}}{_NUMBERS})\s*\)"
)
_COUNTRIES: Final = {
    name: currency
    for currency, names in {
        "USD": ("us", "usa", "u.s.", "united states", "united states of america"),
        "EUR": ("eu", "ea", "emu", "ez", "euro area", "euro zone", "eurozone", "european union"),
        "GBP": ("gb", "uk", "gbr", "united kingdom", "great britain"),
        "JPY": ("jp", "jpn", "japan"),
        "CHF": ("ch", "che", "switzerland"),
        "CAD": ("ca", "can", "canada"),
        "AUD": ("au", "aus", "australia"),
        "NZD": ("nz", "nzl", "new zealand"),
        "CNY": ("cn", "chn", "china"),
    }.items()
    for name in names
}
_FEW: Final = 3  # titles that a message lists
_LEAST_SIMILARITY: Final = 0.3  # of 1, of titles that a message lists


@lru_cache(maxsize=1 << 16)
def normal_title(title: str) -> str:
    """Return a title in lower case, without repeated blanks and a month, quarter or year in brackets."""
    return " ".join(_PERIOD.sub(" ", title.casefold()).split())


@lru_cache(maxsize=1 << 12)
def currency_of(currency: str | None, country: str | None = None, source: str | None = None) -> str | None:
    """Return the currency of a row in capitals: its own, else its country's; None if unknown.

    Rows of FRED have neither: its releases are those of the United States.
    """
    if currency is not None and currency.strip():
        return currency.strip().upper()
    if country is not None and country.strip():
        return _COUNTRIES.get(" ".join(country.casefold().split()))
    return "USD" if source is not None and source.casefold().startswith("fred") else None


def closest_titles(wanted: Iterable[str], present: Sequence[str]) -> list[str]:
    """Return the titles of `present` most similar to any of `wanted`, at most three, the most similar first.

    The measure is the Sørensen–Dice coefficient of the titles' groups of three letters, weighted by inverse
    document frequency. The order of the words doesn't matter.
    """
    present_threes = {title: _threes(normal_title(title)) for title in present}
    wanted_threes = [_threes(normal_title(title)) for title in wanted]
    frequency = Counter(three for threes in present_threes.values() for three in threes)

    def size(threes: frozenset[str]) -> float:
        return sum(math.log(1 + len(present_threes) / max(frequency[three], 1)) for three in threes)

    sizes = [size(threes) for threes in wanted_threes]
    scored = []
    for title, threes in present_threes.items():
        own = size(threes)
        similarities = (
            2 * size(threes & other) / (own + other_size)
            for other, other_size in zip(wanted_threes, sizes, strict=True)
        )
        scored.append((max(similarities), title))
    best = sorted(scored, key=lambda pair: (-pair[0], pair[1]))
    return [title for score, title in best[:_FEW] if score >= _LEAST_SIMILARITY]


def _threes(title: str) -> frozenset[str]:
    """Return all groups of three letters, without blanks and hyphens: Non-Farm and Nonfarm have the same."""
    packed = re.sub(r"[^a-z0-9]", "", title)
    return frozenset(packed[i : i + 3] for i in range(max(len(packed) - 2, 1)))
