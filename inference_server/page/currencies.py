"""Returns the currencies whose releases concern a symbol."""

import re

from market.instruments import Instrument

HOME = "USD"
"""The currency whose releases concern every symbol."""

# Currencies by exchange calendar; other calendars count as dollar markets.
_OF_EXCHANGE = {
    **dict.fromkeys(("XETR", "XFRA", "XPAR", "XAMS", "XBRU", "XMIL", "XMAD", "XLIS", "XDUB", "XHEL"), "EUR"),
    "XLON": "GBP",
    "XTKS": "JPY",
    "XSWX": "CHF",
    "XTSE": "CAD",
    "XASX": "AUD",
    "XNZE": "NZD",
    "XSHG": "CNY",
}
_NO_CURRENCIES = frozenset({"XAU", "XAG", "XPT", "XPD"})
_MAJOR_UNITS = {"GBX": "GBP", "ILA": "ILS", "ZAC": "ZAR"}
_PAIR = re.compile(r"([A-Z]{3})[/_-]?([A-Z]{3})(?![A-Z])")


def currencies_of(instrument: Instrument) -> list[str]:
    """Return the currencies whose releases concern an instrument, the dollar always among them.

    Those of a pair are read from its name (EURUSD, EUR/USD, XAUUSD), that of a share from its exchange unless
    the instrument names one.
    """
    if instrument.currency is not None:
        own = _MAJOR_UNITS.get(instrument.currency, instrument.currency)
    else:
        own = _OF_EXCHANGE.get(instrument.calendar.removeprefix("FX:"), HOME)
    currencies = {HOME, own}
    if instrument.asset_class in ("fx", "metal") and (pair := _PAIR.match(instrument.symbol)):
        currencies |= set(pair.groups()) - _NO_CURRENCIES
    return sorted(currencies)
