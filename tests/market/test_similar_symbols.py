"""Suggestions for unknown symbols: other writings of known ones, and nothing that does not exist."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.instruments import default_instruments
from market.similar_symbols import NAMED, did_you_mean, similar_symbols

KNOWN = [
    "EURUSD",
    "BTC-USD",
    "BTCUSDT",
    "ETH-USD",
    "SPY",
    "^GSPC",
    "BRK.B",
    "USDJPY",
    "0700.HK",
    "SOL/USDT:USDT",
]


@pytest.mark.parametrize(
    ("symbol", "found"),
    [
        ("eurusd", ["EURUSD"]),
        ("EUR/USD", ["EURUSD"]),
        ("EUR-USD", ["EURUSD"]),
        ("EUR_USD", ["EURUSD"]),
        ("eur usd", ["EURUSD"]),
        ("EURUSD=X", ["EURUSD"]),
        ("FX:EURUSD", ["EURUSD"]),
        ("BTCUSD", ["BTC-USD", "BTCUSDT"]),
        ("btc", ["BTC-USD", "BTCUSDT"]),
        ("BTC/USDT", ["BTCUSDT", "BTC-USD"]),
        ("BTC/USDT:USDT", ["BTCUSDT", "BTC-USD"]),
        ("BINANCE:BTCUSDT", ["BTCUSDT", "BTC-USD"]),
        ("BTC-USDC", ["BTC-USD", "BTCUSDT"]),
        ("ETHUSDT", ["ETH-USD"]),
        ("SOL-USD", ["SOL/USDT:USDT"]),
        ("GSPC", ["^GSPC"]),
        ("BRK-B", ["BRK.B"]),
        ("BRK/B", ["BRK.B"]),
        ("USD/JPY", ["USDJPY"]),
        ("0700", ["0700.HK"]),
        ("EURUSF", ["EURUSD"]),
        ("USD", []),
        ("NO-SUCH", []),
        ("", []),
        ("/", []),
        ("\x00", []),
        ("EURUSD", []),
    ],
)  # fmt: skip
def test_other_writings_are_found(symbol: str, found: list[str]) -> None:
    assert similar_symbols(symbol, KNOWN) == found


@given(st.text(max_size=64) | st.sampled_from(list(default_instruments())).map(str.lower))
def test_only_what_exists_is_named_and_not_the_symbol_itself(symbol: str) -> None:
    known = default_instruments()
    found = similar_symbols(symbol, known)
    assert len(found) <= NAMED
    assert set(found) <= set(known) - {symbol}


@given(st.sampled_from(list(default_instruments())), st.sampled_from(["/", "-", "_", " ", ":"]))
def test_every_packaged_symbol_is_found_by_another_writing(symbol: str, separator: str) -> None:
    plain = symbol.replace("-", "").lower()
    assert similar_symbols(plain, default_instruments())[0].replace("-", "").lower() == plain
    if separator != ":":
        split = f"{plain[:3]}{separator}{plain[3:]}"
        assert symbol in similar_symbols(split, default_instruments())


def test_of_many_symbols_those_that_begin_alike_are_compared() -> None:
    many = [f"S{number:05}" for number in range(5000)] + ["EURUSD"]
    assert similar_symbols("EURUSF", many) == ["EURUSD"]
    assert similar_symbols("XURUSD", many) == []
    assert similar_symbols("xurusd", ["EURUSD"]) == ["EURUSD"]


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ([], ""),
        (["EURUSD"], "; did you mean EURUSD?"),
        (["EURUSD", "EUR-USD"], "; did you mean EUR-USD or EURUSD?"),
        (["EURUSD", "EUR-USD", "EUR/USD"], "; did you mean EUR-USD, EUR/USD or EURUSD?"),
    ],
)
def test_the_sentence_names_them(known: list[str], said: str) -> None:
    assert did_you_mean("eurusd", known) == said
