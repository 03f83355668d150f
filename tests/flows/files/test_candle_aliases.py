"""Files that have another name for a symbol."""

import polars as pl
import pytest

from flows.files.candle_files import read_candles
from flows.files.errors import TableError
from market.instruments import Instrument

KNOWN = {
    "BTC-USD": Instrument("BTC-USD", "crypto", "24/7", aliases=["XBTUSD", "BTCUSDT"]),
    "ETH-USD": Instrument("ETH-USD", "crypto", "24/7"),
}


def file(*symbols: str | None) -> pl.DataFrame:
    hours = [f"2024-06-13T{hour:02}:00Z" for hour in range(len(symbols))]
    prices = dict.fromkeys(("open", "high", "low", "close"), 10.0)
    return pl.DataFrame({"symbol": symbols, "timestamp": hours}).with_columns(
        **{name: pl.lit(value) for name, value in prices.items()}
    )


@pytest.mark.parametrize("symbols", [None, ["BTC-USD", "ETH-USD"], ["XBTUSD", "ETH-USD"]])
def test_aliases_become_symbols_and_the_file_says_so(symbols: list[str] | None) -> None:
    read = read_candles(file("XBTUSD", " BTCUSDT", "ETH-USD"), "1h", symbols, KNOWN)
    assert read.rows["symbol"].to_list() == ["BTC-USD", "BTC-USD", "ETH-USD"]
    assert read.notes == (
        "candles of BTCUSDT are those of BTC-USD (aliases in the table instruments)",
        "candles of XBTUSD are those of BTC-USD (aliases in the table instruments)",
    )


def test_the_name_of_a_file_without_symbols_may_be_an_alias() -> None:
    read = read_candles(file("A", "A").drop("symbol"), "1h", ["XBTUSD"], KNOWN)
    assert read.rows["symbol"].to_list() == ["BTC-USD", "BTC-USD"]
    assert len(read.notes) == 1
    assert read_candles(file("BTC-USD"), "1h", None, KNOWN).notes == ()


def test_two_names_of_one_candle_that_differ_are_refused() -> None:
    both = file("XBTUSD", "BTC-USD").with_columns(
        timestamp=pl.lit("2024-06-13T00:00Z"), low=pl.Series([9.0, 8.0])
    )
    with pytest.raises(TableError, match="several rows of one key with different values: BTC-USD"):
        read_candles(both, "1h", None, KNOWN)
