"""The symbols of a run, from the table instruments of a real Postgres."""

from typing import Any

import psycopg
import pytest

from flows.forecasting.universe import read_universe, skip_without_candles
from market.instruments import Instrument
from sql.loading import load


@pytest.fixture
def instruments(database: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    rows = [
        ("SPX", "index", "XNYS", True),
        ("EURUSD", "fx", "FX", True),
        ("OLD", "equity", "XNYS", False),
        ("BTC-USD", "crypto", "XNYS", True),  # a user's own calendar wins over the packaged one
    ]
    for row in rows:
        names = ("symbol", "asset_class", "calendar", "active")
        unset: dict[str, Any] = dict.fromkeys(vars(Instrument("", "", "")))
        given = unset | dict(zip(names, row, strict=True))
        database.execute(load("upsert_instruments"), given)
    return database


def test_defaults_to_the_active_instruments(instruments: psycopg.Connection[Any]) -> None:
    universe = read_universe(instruments, None)
    assert universe.instruments == {
        "BTC-USD": Instrument("BTC-USD", "crypto", "XNYS"),
        "EURUSD": Instrument("EURUSD", "fx", "FX"),
        "SPX": Instrument("SPX", "index", "XNYS"),
    }
    assert universe.unknown == universe.skipped == {}


def test_names_may_be_inactive_or_packaged_and_the_unknown_are_reported(
    instruments: psycopg.Connection[Any],
) -> None:
    universe = read_universe(instruments, ["OLD", "GBPUSD", "NO-SUCH", "BTC-USD"])
    assert universe.instruments == {
        "OLD": Instrument("OLD", "equity", "XNYS"),
        "GBPUSD": Instrument("GBPUSD", "fx", "FX"),
        "BTC-USD": Instrument("BTC-USD", "crypto", "XNYS"),
    }
    assert set(universe.unknown) == {"NO-SUCH"}
    assert "table instruments" in universe.unknown["NO-SUCH"]
    assert "did you mean" not in universe.unknown["NO-SUCH"]


def test_an_alias_stands_for_its_instrument(instruments: psycopg.Connection[Any]) -> None:
    instruments.execute("UPDATE instruments SET aliases = '{XBTUSD,BTCUSDT}' WHERE symbol = 'BTC-USD'")
    universe = read_universe(instruments, ["BTCUSDT", "BTC-USD", "XBTUSD"])
    assert list(universe.instruments) == ["BTC-USD"]
    assert universe.unknown == {}


def test_another_writing_of_a_symbol_is_named_and_not_taken(instruments: psycopg.Connection[Any]) -> None:
    universe = read_universe(instruments, ["eurusd", "BTC/USDT:USDT"])
    assert universe.instruments == {}
    assert universe.unknown["eurusd"].endswith("; did you mean EURUSD?")
    assert universe.unknown["BTC/USDT:USDT"].endswith("; did you mean BTCUSDT or BTC-USD?")


def test_nothing_active_says_what_to_do(database: psycopg.Connection[Any]) -> None:
    with pytest.raises(LookupError, match=r"flows\.load candles"):
        read_universe(database, None)


def test_an_active_symbol_without_candles_is_skipped(instruments: psycopg.Connection[Any]) -> None:
    universe = skip_without_candles(read_universe(instruments, None), {"EURUSD", "BTC-USD"}, "1h")
    assert set(universe.instruments) == {"EURUSD", "BTC-USD"}
    assert universe.skipped == {"SPX": "no 1h candles"}
