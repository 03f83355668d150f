"""Finds known symbols similar to an unknown one, for error messages; they never replace it."""

import difflib
from collections.abc import Iterable

NAMED = 3
"""Most symbols that a suggestion names."""

_DOLLARS = ("USDT", "USDC", "BUSD", "TUSD", "FDUSD", "USD")
_MANY = 1000
_SIMILARITY = 0.75
"""Smallest ratio of `difflib`: one wrong letter in four, so that USD is not similar to ETH-USD."""


def similar_symbols(symbol: str, known: Iterable[str]) -> list[str]:
    """Return the known symbols that a name probably means, the most probable first, at most `NAMED`.

    First those of the same letters and digits, regardless of case and separators; then those that differ in
    the dollar that they are quoted in (USD, USDT, USDC, …) or leave it out; where there are none, those whose
    letters differ little.

    Parameters
    ----------
    symbol
        A name in the notation of any source: EUR/USD, EUR-USD, EURUSD=X, btc, BTC/USDT:USDT, BINANCE:BTCUSDT.
    known
        Symbols that exist.
    """
    wanted = _letters(symbol)
    if not wanted:
        return []
    by_letters: dict[str, list[str]] = {}
    for candidate in known:
        if candidate != symbol:
            by_letters.setdefault(_letters(candidate), []).append(candidate)
    base = _base(wanted)
    similar = sorted(by_letters.get(wanted, []))
    similar += sorted(
        candidate
        for letters, candidates in by_letters.items()
        if letters != wanted and _base(letters) == base
        for candidate in candidates
    )
    if not similar:
        # A comparison takes about ten microseconds: of many symbols, only those with the same first letter.
        compared = [
            letters for letters in by_letters if len(by_letters) <= _MANY or letters[:1] == wanted[:1]
        ]
        similar = [
            candidate
            for letters in difflib.get_close_matches(wanted, compared, NAMED, _SIMILARITY)
            for candidate in by_letters[letters]
        ]
    return similar[:NAMED]


def did_you_mean(symbol: str, known: Iterable[str]) -> str:
    """Return ``; did you mean …?`` for the end of a message, or an empty text where no symbol is similar."""
    similar = similar_symbols(symbol, known)
    if not similar:
        return ""
    *others, last = similar
    return f"; did you mean {', '.join(others)} or {last}?" if others else f"; did you mean {last}?"


def _letters(symbol: str) -> str:
    """Return the capital letters and digits of a symbol, without exchange, settlement and Yahoo's suffix."""
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
