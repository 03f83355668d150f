"""Which currencies' releases concern a symbol."""

import pytest

from inference_server.page.currencies import currencies_of
from market.instruments import Instrument


@pytest.mark.parametrize(
    ("symbol", "asset_class", "calendar", "expected"),
    [
        ("EURUSD", "fx", "FX", ["EUR", "USD"]),
        ("EUR/GBP", "fx", "FX", ["EUR", "GBP", "USD"]),
        ("USDJPY", "fx", "FX", ["JPY", "USD"]),
        ("XAUUSD", "metal", "METAL", ["USD"]),
        ("XAUEUR", "metal", "METAL", ["EUR", "USD"]),
        ("BTC-USD", "crypto", "24/7", ["USD"]),
        ("GOOGLE", "equity", "XNYS", ["USD"]),  # six letters do not make a pair
        ("VOD", "equity", "XLON", ["GBP", "USD"]),
        ("DXY", "index", "FX:XNYS", ["USD"]),
        ("DAX", "index", "XETR", ["EUR", "USD"]),
    ],
)
def test_currencies(symbol: str, asset_class: str, calendar: str, expected: list[str]) -> None:
    assert currencies_of(Instrument(symbol, asset_class, calendar)) == expected


def test_a_currency_of_the_instrument_comes_before_that_of_its_exchange() -> None:
    assert currencies_of(Instrument("A", "equity", "XLON", currency="GBX")) == ["GBP", "USD"]
    assert currencies_of(Instrument("A", "equity", "XLON", currency="EUR")) == ["EUR", "USD"]
