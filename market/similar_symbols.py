"""Finds known symbols that are written like an unknown one; they are named, and never taken in its place."""

import difflib
from collections.abc import Iterable

NAMED = 3
"""Symbols that a suggestion names at most."""

_DOLLARS = ("USDT", "USDC", "BUSD", "TUSD", "FDUSD", "USD")
_MANY = 1000
_ALIKE = 0.75
"""Share of letters in common: one wrong letter in four, so that USD is not taken for a short ETH-USD."""


def similar_symbols(symbol: str, known: Iterable[str]) -> list[str]:
    """Return the known symbols that a name probably means, the likeliest first, at most `NAMED`.

    First those of the same letters and digits, whatever stands between them and whatever their case; then
    those that differ in the kind of dollar they are quoted in (USD, USDT, USDC, …) or leave it out; where
    there is none of these, those whose letters differ little.

    Parameters
    ----------
    symbol
        A name that is none of `known`, in the writing of any source: EUR/USD, EUR-USD, EURUSD=X, btc,
        BTC/USDT:USDT, BINANCE:BTCUSDT.
    known
        Symbols that exist.
    """
    wanted = _letters(symbol)
    if not wanted:
        return []
    by_letters: dict[str, list[str]] = {}
    for one in known:
        if one != symbol:
            by_letters.setdefault(_letters(one), []).append(one)
    base = _base(wanted)
    found = sorted(by_letters.get(wanted, []))
    found += sorted(
        one
        for letters, group in by_letters.items()
        if letters != wanted and _base(letters) == base
        for one in group
    )
    if not found:
        # Comparing letters takes some ten microseconds a symbol: of many, those that begin alike.
        near = [one for one in by_letters if len(by_letters) <= _MANY or one[:1] == wanted[:1]]
        found = [
            one
            for letters in difflib.get_close_matches(wanted, near, NAMED, _ALIKE)
            for one in by_letters[letters]
        ]
    return found[:NAMED]


def did_you_mean(symbol: str, known: Iterable[str]) -> str:
    """Return ``; did you mean …?`` to go on after the message that a symbol is unknown, or nothing."""
    found = similar_symbols(symbol, known)
    if not found:
        return ""
    *others, last = found
    return f"; did you mean {', '.join(others)} or {last}?" if others else f"; did you mean {last}?"


def _letters(symbol: str) -> str:
    """Return the capital letters and digits of a symbol, without exchange, settlement and Yahoo's ending."""
    name = symbol.upper().removesuffix("=X")
    before, colon, after = name.partition(":")
    if colon:  # BTC/USDT:USDT is settled in USDT; BINANCE:BTCUSDT is traded at Binance
        name = before if "/" in before else after
    return "".join(character for character in name if character.isalnum())


def _base(letters: str) -> str:
    """Return a pair's name without the dollar that it is quoted in."""
    for dollar in _DOLLARS:
        if letters.endswith(dollar) and len(letters) > len(dollar):
            return letters.removesuffix(dollar)
    return letters
