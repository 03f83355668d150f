"""What calendars call a release and where it belongs: titles and currencies brought to one form."""

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
_ALIKE: Final = 0.3  # of 1; titles less alike are not worth naming


@lru_cache(maxsize=1 << 16)
def normal_title(title: str) -> str:
    """Return a title without what tells no releases apart: case, blanks, a month or quarter in brackets."""
    return " ".join(_PERIOD.sub(" ", title.casefold()).split())


@lru_cache(maxsize=1 << 12)
def currency_of(currency: str | None, country: str | None = None, source: str | None = None) -> str | None:
    """Return the currency that a row belongs to, in capitals: its own, else its country's.

    Rows of FRED name neither: its releases are those of the United States.
    """
    if currency is not None and currency.strip():
        return currency.strip().upper()
    if country is not None and country.strip():
        return _COUNTRIES.get(" ".join(country.casefold().split()))
    return "USD" if source is not None and source.casefold().startswith("fred") else None


def closest_titles(wanted: Iterable[str], present: Sequence[str]) -> list[str]:
    """Return the titles most like any of those wanted, at most three, the likest first.

    Alike are titles that share groups of three letters, the more so the fewer titles have them: Sørensen and
    Dice's coefficient, weighted by inverse document frequency. The order of the words doesn't count.
    """
    found = {title: _threes(normal_title(title)) for title in present}
    aims = [_threes(normal_title(title)) for title in wanted]
    number = Counter(three for threes in found.values() for three in threes)

    def size(threes: frozenset[str]) -> float:
        return sum(math.log(1 + len(found) / max(number[three], 1)) for three in threes)

    sizes = [size(aim) for aim in aims]
    scored = []
    for title, threes in found.items():
        own = size(threes)
        alike = (2 * size(threes & aim) / (own + whole) for aim, whole in zip(aims, sizes, strict=True))
        scored.append((max(alike), title))
    best = sorted(scored, key=lambda pair: (-pair[0], pair[1]))
    return [title for score, title in best[:_FEW] if score >= _ALIKE]


def _threes(title: str) -> frozenset[str]:
    """Return every three letters in a row, blanks and hyphens left out: Non-Farm and Nonfarm are alike."""
    packed = re.sub(r"[^a-z0-9]", "", title)
    return frozenset(packed[i : i + 3] for i in range(max(len(packed) - 2, 1)))
