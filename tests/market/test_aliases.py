"""Other names of instruments."""

import pytest

from market.aliases import AliasConflict, check_aliases, symbol_of_aliases, with_aliases, with_packaged
from market.instruments import Instrument, default_instruments


def coin(symbol: str, *aliases: str) -> Instrument:
    return Instrument(symbol, "crypto", "24/7", aliases=list(aliases))


def test_an_instrument_is_found_by_symbol_and_alias() -> None:
    bitcoin, ether = coin("BTC-USD", "XBTUSD", "BTC/USD"), coin("ETH-USD")
    known = {"BTC-USD": bitcoin, "ETH-USD": ether}
    assert symbol_of_aliases(known) == {"XBTUSD": "BTC-USD", "BTC/USD": "BTC-USD"}
    assert with_aliases(known) == {**known, "XBTUSD": bitcoin, "BTC/USD": bitcoin}


def test_a_packaged_symbol_may_be_an_alias_and_is_then_no_instrument() -> None:
    assert "BTCUSDT" in default_instruments()
    known = with_packaged({"BTC-USD": coin("BTC-USD", "BTCUSDT")})
    assert set(default_instruments()) - set(known) == {"BTCUSDT"}
    assert with_aliases(known)["BTCUSDT"] is known["BTC-USD"]
    assert with_packaged({}) == default_instruments()


def test_a_name_of_two_instruments_stands_for_none_and_a_symbol_for_itself() -> None:
    known = {each.symbol: each for each in (coin("A", "X", "B"), coin("B", "X", "Y"))}
    assert symbol_of_aliases(known) == {"Y": "B"}
    assert with_aliases(known)["B"].symbol == "B"


@pytest.mark.parametrize(
    ("instruments", "message"),
    [
        ([coin("A", "B"), coin("B")], "A: its alias B is the symbol of another instrument"),
        ([coin("A", "X"), coin("B", "X")], "B: its alias X is an alias of A too"),
    ],
)
def test_a_name_of_two_instruments_is_refused(instruments: list[Instrument], message: str) -> None:
    with pytest.raises(AliasConflict, match=message):
        check_aliases(instruments)
    check_aliases([coin("A", "A", "X"), coin("B", "Y")])
