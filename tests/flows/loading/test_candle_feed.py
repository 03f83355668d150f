"""Candles from files, folders and a real server into a real database, symbol by symbol."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest

from flows.files.errors import TableError
from flows.files.options import ReadOptions
from flows.loading.candle_feed import CandleFeed, CandleOutcome, load_candle_item
from flows.loading.credentials import Credentials
from flows.loading.download import DownloadLimits
from flows.loading.rows import Loaded
from flows.loading.sources import Span, candle_items
from flows.runtime.run_database import RunDatabase
from tests.helpers.feed_server import Answer, Feeds, feed_server

HOUR = timedelta(hours=1)
NOW = datetime(2024, 12, 18, 12, tzinfo=UTC)
LIMITS = DownloadLimits(5_000_000, 20.0)


@pytest.fixture(scope="module")
def server() -> Iterator[Feeds]:
    with feed_server() as feeds:
        yield feeds


def candles(count: int, end: datetime = NOW, **columns: Any) -> pl.DataFrame:
    """Hourly candles of a market around the clock, the last one closing at `end`."""
    stamps = [end - HOUR * (count - n) for n in range(count)]
    values: dict[str, Any] = {
        "timestamp": stamps,
        "open": 1.0,
        "high": 2.0,
        "low": 0.5,
        "close": 1.5,
        "volume": 9.0,
    }
    return pl.DataFrame({**values, **columns})


def set_written(file: Path, when: datetime) -> None:
    """Set the instant at which a file seems to have been written."""
    os.utime(file, (when.timestamp(), when.timestamp()))


def load(
    location: str | Path,
    symbols: Sequence[str] | None = None,
    aliases: dict[str, str] | None = None,
    requested: Sequence[str] = (),
    force: bool = False,
) -> list[CandleOutcome]:
    wanted = None if symbols is None else frozenset(symbols)
    feed = CandleFeed("1h", wanted, aliases or {}, 0.9, LIMITS, force)
    items = candle_items(str(location), "1h", requested, Span(7, 0), Credentials(), aliases or {})
    with RunDatabase() as database:
        return [
            outcome for item in items for outcome in load_candle_item(database, item, feed, Credentials())
        ]


def loaded(outcomes: Sequence[CandleOutcome]) -> dict[str, Any]:
    return {outcome.symbol: outcome.loaded or outcome.error for outcome in outcomes}


def test_a_folder_with_a_file_for_each_symbol(database: psycopg.Connection[Any], tmp_path: Path) -> None:
    candles(40).write_csv(tmp_path / "BTCUSDT.csv")
    candles(40).write_parquet(tmp_path / "ETH-USD.parquet")
    (tmp_path / "notes.txt").write_text("no candles")
    (tmp_path / ".hidden.csv").write_text("no candles")
    aliases = {"BTC-USD": "BTCUSDT"}
    assert loaded(load(tmp_path, aliases=aliases)) == {
        "BTC-USD": Loaded(40, 0, 0),
        "ETH-USD": Loaded(40, 0, 0),
    }
    assert loaded(load(tmp_path, aliases=aliases)) == {"BTC-USD": None, "ETH-USD": None}
    assert loaded(load(tmp_path, aliases=aliases, force=True))["ETH-USD"] == Loaded(0, 0, 40)
    candles(41, NOW).write_csv(tmp_path / "BTCUSDT.csv")
    assert loaded(load(tmp_path, aliases=aliases)) == {"BTC-USD": Loaded(1, 0, 40), "ETH-USD": None}


def test_settings_of_a_feed_say_what_its_file_leaves_open(
    database: psycopg.Connection[Any], tmp_path: Path
) -> None:
    rows = "".join(
        f"{symbol};01/02/2024 0{hour}:00;1,5;2,5;0,5;1,5\n"
        for symbol in ("BTCUSDT", "ETHUSDT")
        for hour in range(3)
    )
    (tmp_path / "candles.csv").write_text("Ticker;Zeit;Open;High;Low;Close\n" + rows)
    options = ReadOptions({"timestamp": "Zeit"}, "Europe/Berlin", "dmy")
    names = {"BTC-USD": "BTCUSDT", "ETH-USD": "ETHUSDT"}
    feed = CandleFeed("1h", None, names, 0.9, LIMITS, False, options)
    (item,) = candle_items(str(tmp_path / "candles.csv"), "1h", [], Span(7, 0), Credentials(), names)
    with RunDatabase() as runs:
        outcomes = load_candle_item(runs, item, feed, Credentials())
        assert loaded(outcomes) == {"BTC-USD": Loaded(3, 0, 0), "ETH-USD": Loaded(3, 0, 0)}
        assert outcomes[0].last == "2024-02-01 01:00"
        unsure = replace(feed, options=ReadOptions({"timestamp": "Zeit"}, "Europe/Berlin"), force=True)
        with pytest.raises(TableError, match=r"candles\.csv: the date '01/02/2024' is .* --date-order"):
            load_candle_item(runs, item, unsure, Credentials())


def test_one_bad_symbol_stops_no_other_and_is_read_again(
    database: psycopg.Connection[Any], tmp_path: Path
) -> None:
    frame = pl.concat(
        [
            candles(40).with_columns(symbol=pl.lit("BTC-USD")),
            candles(40).with_columns(symbol=pl.lit("ETH-USD"), high=pl.lit(0.1)),
            candles(40).with_columns(symbol=pl.lit("ODD")),
        ]
    )
    file = tmp_path / "candles.parquet"
    frame.write_parquet(file)
    results = loaded(load(file))
    assert results["BTC-USD"] == Loaded(40, 0, 0)
    assert results["ETH-USD"].startswith("candles.parquet: high is below")
    assert "trading hours of ODD are unknown" in results["ODD"]
    assert loaded(load(file))["BTC-USD"] == Loaded(0, 0, 40)
    assert loaded(load(file, ["BTC-USD"])) == {"BTC-USD": Loaded(0, 0, 40)}
    assert loaded(load(file, ["BTC-USD"])) == {"candles.parquet": None}


def test_an_unchanged_file_is_read_again_for_other_symbols(
    database: psycopg.Connection[Any], tmp_path: Path
) -> None:
    for symbol in ("BTC-USD", "ETH-USD"):
        candles(40).write_csv(tmp_path / f"{symbol}.csv")
    assert loaded(load(tmp_path, ["BTC-USD"])) == {"BTC-USD": Loaded(40, 0, 0)}
    assert loaded(load(tmp_path, ["BTC-USD"])) == {"BTC-USD": None}
    assert loaded(load(tmp_path)) == {"BTC-USD": Loaded(0, 0, 40), "ETH-USD": Loaded(40, 0, 0)}
    assert loaded(load(tmp_path)) == {"BTC-USD": None, "ETH-USD": None}


def test_aliases_of_instruments_are_names_of_files_and_in_them(
    database: psycopg.Connection[Any], tmp_path: Path
) -> None:
    database.execute(
        "INSERT INTO instruments (symbol, asset_class, calendar, aliases) "
        "VALUES ('BTC-USD', 'crypto', '24/7', '{XBTUSD,BTCUSDT}')"
    )
    (tmp_path / "files").mkdir()
    candles(40).write_csv(tmp_path / "files" / "XBTUSD.csv")
    (outcome,) = load(tmp_path / "files", ["BTC-USD"])
    assert (outcome.symbol, outcome.loaded) == ("BTC-USD", Loaded(40, 0, 0))
    assert outcome.loaded is not None
    assert outcome.loaded.notes[0].startswith("candles of XBTUSD are those of BTC-USD")
    assert loaded(load(tmp_path / "files")) == {"BTC-USD": Loaded(0, 0, 40)}  # not for BTC-USD alone any more
    assert loaded(load(tmp_path / "files")) == {"BTC-USD": None}
    whole = [candles(40).with_columns(symbol=pl.lit(name)) for name in ("BTCUSDT", "ETH-USD")]
    pl.concat(whole).write_parquet(tmp_path / "candles.parquet")
    assert loaded(load(tmp_path / "candles.parquet")) == {
        "BTC-USD": Loaded(0, 0, 40),
        "ETH-USD": Loaded(40, 0, 0),
    }


def test_an_unchanged_file_is_read_again_once_its_stamps_are_closes(
    database: psycopg.Connection[Any], tmp_path: Path
) -> None:
    candles(40, NOW - HOUR).write_csv(tmp_path / "BTC-USD.csv")
    assert loaded(load(tmp_path)) == {"BTC-USD": Loaded(40, 0, 0)}
    database.execute("UPDATE instruments SET stamp = 'close'")
    (outcome,) = load(tmp_path)
    assert outcome.loaded == Loaded(1, 0, 39)
    assert "stamped with their close" in outcome.loaded.notes[0]
    assert outcome.last == f"{NOW - 3 * HOUR:%Y-%m-%d %H:%M}"
    assert loaded(load(tmp_path)) == {"BTC-USD": None}


def test_only_candles_that_had_closed_when_the_file_was_written(
    database: psycopg.Connection[Any], tmp_path: Path
) -> None:
    fresh, old = tmp_path / "BTC-USD.csv", tmp_path / "ETH-USD.csv"
    candles(40, NOW + HOUR).write_csv(fresh)
    set_written(fresh, NOW + HOUR / 2)
    (outcome,) = load(fresh, ["BTC-USD"])
    assert outcome.loaded == Loaded(39, 0, 0)
    assert outcome.loaded is not None
    assert outcome.loaded.notes == ("1 candles that had not closed were left out",)
    assert outcome.last == f"{NOW - HOUR:%Y-%m-%d %H:%M}"
    candles(40, NOW).write_csv(old)
    set_written(old, NOW - 2 * HOUR)
    (outcome,) = load(old, ["ETH-USD"])
    assert outcome.loaded == Loaded(38, 0, 0)
    assert outcome.last == f"{NOW - 3 * HOUR:%Y-%m-%d %H:%M}"
    set_written(old, datetime(1970, 1, 1, tzinfo=UTC))
    assert "none of its 40 candles had closed by 1970-01-01" in str(load(old, ["ETH-USD"])[0].error)


def test_a_market_folder_has_a_file_for_each_timeframe(
    database: psycopg.Connection[Any], tmp_path: Path
) -> None:
    candles(40, symbol="BTC-USD").write_parquet(tmp_path / "candles_1h.parquet")
    (tmp_path / "candles_1d.csv").write_text("no candles")
    assert loaded(load(tmp_path)) == {"BTC-USD": Loaded(40, 0, 0)}


def test_an_address_is_requested_for_each_symbol(database: psycopg.Connection[Any], server: Feeds) -> None:
    frame = candles(40)
    columns = {"t": [int(ts.timestamp()) for ts in frame["timestamp"]], "s": "ok"}
    prices = {name[0]: frame[name].to_list() for name in ("open", "high", "low", "close", "volume")}
    server.serve("/BTCUSDT", Answer(json.dumps({**columns, **prices}).encode()))
    server.serve("/ETH%2FUSD", Answer(frame.with_columns(symbol=pl.lit("ETHUSD")).write_json().encode()))
    url = server.address + "/{symbol}?from={from}"
    aliases = {"BTC-USD": "BTCUSDT", "ETH-USD": "ETH/USD"}
    results = loaded(load(url, aliases=aliases, requested=["BTC-USD", "ETH-USD"]))
    assert results == {"BTC-USD": Loaded(40, 0, 0), "ETH-USD": Loaded(40, 0, 0)}
    assert loaded(load(url, aliases=aliases, requested=["BTC-USD"])) == {"BTC-USD": None}


def test_a_shortened_symbol_is_refused_alone(database: psycopg.Connection[Any], server: Feeds) -> None:
    both = [candles(96).with_columns(symbol=pl.lit(symbol)) for symbol in ("BTC-USD", "ETH-USD")]
    shorter = [both[0], both[1].head(60)]
    url = server.serve(
        "/all", *(Answer(pl.concat(frames).write_csv().encode()) for frames in (both, shorter))
    )
    load(url)
    results = loaded(load(url))
    assert results["BTC-USD"] == Loaded(0, 0, 96)
    assert "it is shortened: it ends on" in results["ETH-USD"]
    assert database.execute("SELECT count(*) FROM ohlcv_1h").fetchone() == (192,)


@pytest.mark.parametrize("content", [b"", b"<html></html>", b"[]", b"a,b\n1,2\n"])
def test_what_is_no_table_is_refused(
    database: psycopg.Connection[Any], server: Feeds, content: bytes
) -> None:
    with pytest.raises(TableError, match=r"^http://127\.0\.0\.1.*/all: "):
        load(server.serve("/all", Answer(content)))


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"has no file that ends in \.csv, .*; expected one for each symbol"):
        load(tmp_path)
