"""Finds instruments by other names: those that data providers have for their symbols."""

from collections.abc import Iterable, Mapping

from market.instruments import Instrument, default_instruments


class AliasConflict(ValueError):
    """A name stands for two instruments; the message names both."""


def with_packaged(stored: Mapping[str, Instrument]) -> dict[str, Instrument]:
    """Return the instruments of the table ``instruments`` and the packaged ones whose symbols it has not.

    A packaged symbol that is an alias of a stored instrument is that alias.
    """
    taken = {alias for instrument in stored.values() for alias in instrument.aliases}
    packaged = {symbol: each for symbol, each in default_instruments().items() if symbol not in taken}
    return packaged | dict(stored)


def symbol_of_aliases(instruments: Mapping[str, Instrument]) -> dict[str, str]:
    """Return the symbol that each alias stands for; one that stands for several is left out.

    Parameters
    ----------
    instruments
        By symbol. A symbol is never an alias.
    """
    symbols: dict[str, set[str]] = {}
    for symbol, instrument in instruments.items():
        for alias in instrument.aliases:
            if alias not in instruments:
                symbols.setdefault(alias, set()).add(symbol)
    return {alias: symbol for alias, (symbol, *others) in symbols.items() if not others}


def with_aliases(instruments: Mapping[str, Instrument]) -> dict[str, Instrument]:
    """Return instruments by symbol and by alias."""
    return {alias: instruments[symbol] for alias, symbol in symbol_of_aliases(instruments).items()} | dict(
        instruments
    )


def check_aliases(instruments: Iterable[Instrument]) -> None:
    """Refuse aliases that are the symbol or an alias of another instrument.

    Raises
    ------
    AliasConflict
        Names the alias and both instruments.
    """
    each_one = list(instruments)
    symbols = {instrument.symbol for instrument in each_one}
    owner: dict[str, str] = {}
    for instrument in each_one:
        for alias in instrument.aliases:
            if alias in symbols and alias != instrument.symbol:
                raise AliasConflict(
                    f"{instrument.symbol}: its alias {alias} is the symbol of another instrument; leave the "
                    f"alias out, or delete {alias} from the table instruments and its candles from theirs"
                )
            other = owner.setdefault(alias, instrument.symbol)
            if other != instrument.symbol:
                raise AliasConflict(
                    f"{instrument.symbol}: its alias {alias} is an alias of {other} too; an alias belongs to "
                    "one instrument"
                )
