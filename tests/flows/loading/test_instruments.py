"""Instruments of files into a real database."""

from typing import Any

import polars as pl
import psycopg
import pytest

from flows.files.errors import TableError
from flows.files.instruments import instruments
from flows.loading.instruments import load_instruments
from flows.loading.rows import Loaded
from flows.runtime.instruments import known_instruments


def load(database: psycopg.Connection[Any], *rows: dict[str, Any]) -> Loaded:
    about = {"asset_class": "crypto", "calendar": "24/7"}
    return load_instruments(database, instruments(pl.DataFrame([about | row for row in rows])))


def test_what_a_file_leaves_open_stays_as_it_is(database: psycopg.Connection[Any]) -> None:
    row = {"symbol": "BTC-USD", "aliases": "BTCUSDT; XBTUSD", "currency": "USD", "tick_size": "0.01"}
    assert load(database, row) == Loaded(1, 0, 0)
    assert load(database, row) == load(database, {"symbol": "BTC-USD"}) == Loaded(0, 0, 1)
    known = known_instruments(database)
    assert "BTCUSDT" not in known
    bitcoin = known["BTC-USD"]
    assert (bitcoin.aliases, bitcoin.currency, bitcoin.tick_size) == (["BTCUSDT", "XBTUSD"], "USD", 0.01)
    assert load(database, {"symbol": "BTC-USD", "aliases": ";"}) == Loaded(0, 1, 0)
    assert known_instruments(database)["BTC-USD"].aliases == []


def test_an_alias_that_is_another_name_is_refused_with_both(database: psycopg.Connection[Any]) -> None:
    load(database, {"symbol": "BTC-USD", "aliases": "XBTUSD"}, {"symbol": "BTCUSDT"})
    for row, message in (
        ({"symbol": "BTC-USD", "aliases": "BTCUSDT"}, "BTC-USD: its alias BTCUSDT is the symbol of another"),
        ({"symbol": "B2", "aliases": "XBTUSD"}, "B2: its alias XBTUSD is an alias of BTC-USD too"),
        ({"symbol": "XBTUSD"}, "BTC-USD: its alias XBTUSD is the symbol of another"),
    ):
        with pytest.raises(TableError, match=message):
            load(database, row)
    assert database.execute("SELECT count(*) FROM instruments").fetchone() == (2,)
