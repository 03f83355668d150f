"""The loader on a real Postgres: what a second load, a correction and a poorer file change; its messages."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest

from flows.files import feeds
from flows.files.frames import TableError, read_file
from flows.load import Loaded, load_calendar, load_candles, load_rows, main
from tests.helpers.feed_server import Answer, Feeds, feed_server

DAY = datetime(2024, 1, 2, tzinfo=UTC)


def candle_frame(**changes: Any) -> pl.DataFrame:
    columns: dict[str, Any] = {
        "symbol": ["SPY", "BTC-USD"], "timestamp": [DAY, DAY], "open": [10.0, 1.1], "high": [12.0, 1.3],
        "low": [9.0, 0.1 + 0.2], "close": [11.0, 1.2], "volume": [100.0, None],
    }  # fmt: skip
    return pl.DataFrame(columns | changes)


def event_frame(**changes: Any) -> pl.DataFrame:
    event: dict[str, Any] = {
        "event_time": DAY.replace(hour=13), "event_type": "nfp", "title": 'Jobs, "all"',
        "currency": "USD", "actual": None, "forecast": 170.0,
    }  # fmt: skip
    return pl.DataFrame([event | changes])


def only(database: psycopg.Connection, statement: str) -> tuple[Any, ...]:
    (row,) = database.execute(statement).fetchall()
    return row


class TestCandles:
    def test_loading_twice_changes_nothing(self, database: psycopg.Connection) -> None:
        assert load_candles(database, candle_frame(), "1d") == Loaded(2, 0, 0)
        assert load_candles(database, candle_frame(), "1d") == Loaded(0, 0, 2)
        stored = only(database, "SELECT * FROM ohlcv_1d WHERE symbol = 'BTC-USD'")
        assert stored == ("BTC-USD", DAY, 1.1, 1.3, 0.1 + 0.2, 1.2, None, None)

    def test_a_correction_changes_its_row_and_no_other(self, database: psycopg.Connection) -> None:
        load_candles(database, candle_frame(), "1h")
        assert load_candles(database, candle_frame(close=[11.5, 1.2]), "1h") == Loaded(0, 1, 1)
        assert only(database, "SELECT close FROM ohlcv_1h WHERE symbol = 'SPY'") == (11.5,)

    def test_a_poorer_file_erases_nothing(self, database: psycopg.Connection) -> None:
        load_candles(database, candle_frame(amount=[1e3, 2e3]), "1d")
        assert load_candles(database, candle_frame().drop("volume"), "1d") == Loaded(0, 0, 2)
        assert only(database, "SELECT volume, amount FROM ohlcv_1d WHERE symbol = 'SPY'") == (100.0, 1000.0)

    def test_numeric_columns_take_the_same_file_twice(self, database: psycopg.Connection) -> None:
        database.execute("ALTER TABLE ohlcv_1d ALTER low TYPE numeric(12, 4)")
        load_candles(database, candle_frame(), "1d")
        assert load_candles(database, candle_frame(), "1d") == Loaded(0, 0, 2)

    def test_unseen_symbols_are_registered_and_seen_ones_left(self, database: psycopg.Connection) -> None:
        database.execute("INSERT INTO instruments VALUES ('SPY', 'equity', 'XNAS', false)")
        load_candles(database, candle_frame(), "1d")
        assert database.execute("SELECT * FROM instruments ORDER BY symbol").fetchall() == [
            ("BTC-USD", "crypto", "24/7", True, False, None, None, None, False, "open", [], None, None),
            ("SPY", "equity", "XNAS", False, False, None, None, None, False, "open", [], None, None),
        ]

    def test_an_unknown_symbol_stores_nothing_and_tells_the_way(self, database: psycopg.Connection) -> None:
        frame = candle_frame(symbol=["SPY", "ODD"])
        with pytest.raises(
            TableError, match=r"trading hours of ODD are unknown.*flows.load instruments FILE"
        ):
            load_candles(database, frame, "1d")
        assert only(database, "SELECT count(*) FROM ohlcv_1d") == (0,)
        odd = pl.DataFrame({"symbol": ["ODD"], "asset_class": ["equity"], "calendar": ["XNYS"]})
        assert load_rows(database, feeds.instruments(odd), "upsert_instruments") == Loaded(1, 0, 0)
        assert load_candles(database, frame, "1d") == Loaded(2, 0, 0)

    def test_repeated_rows_are_dropped_and_counted(self, database: psycopg.Connection) -> None:
        twice = pl.concat([candle_frame(), candle_frame(), candle_frame().head(1)])
        loaded = load_candles(database, twice, "1d")
        assert loaded == Loaded(2, 0, 0)
        assert loaded.notes == ("3 rows repeat another and were dropped",)
        spy = load_candles(database, twice, "1d", ["SPY"])
        assert spy == Loaded(0, 0, 1)
        assert spy.notes == ("2 rows repeat another and were dropped",)
        assert load_candles(database, candle_frame(), "1d").notes == ()
        changed = pl.concat([candle_frame(), candle_frame(close=[11.5, 1.2])])
        with pytest.raises(TableError, match="several rows of one key with different values: SPY 2024-01-02"):
            load_candles(database, changed, "1d")

    def test_prices_below_zero_are_for_instruments_that_can_have_them(
        self, database: psycopg.Connection
    ) -> None:
        oil = candle_frame(symbol=["WTI", "BTC-USD"], low=[-40.0, 1.0], close=[-37.6, 1.2])
        with pytest.raises(
            TableError, match=r"a price is zero or below.*allow_nonpositive.*: WTI 2024-01-02"
        ):
            load_candles(database, oil, "1d")
        assert only(database, "SELECT count(*) FROM ohlcv_1d") == (0,)
        row = {
            "symbol": "WTI",
            "asset_class": "commodity",
            "calendar": "FX:XNYS",
            "allow_nonpositive": "true",
        }
        load_rows(database, feeds.instruments(pl.DataFrame([row])), "upsert_instruments")
        assert load_candles(database, oil, "1d") == Loaded(2, 0, 0)

    def test_closes_are_moved_to_opens_once(self, database: psycopg.Connection) -> None:
        row = {"symbol": "SPY", "asset_class": "equity", "calendar": "XNYS", "stamp": "close"}
        load_rows(database, feeds.instruments(pl.DataFrame([row])), "upsert_instruments")
        closes = [datetime(2024, 1, 2, 20, 30, tzinfo=UTC), datetime(2024, 1, 2, 21, tzinfo=UTC)]
        frame = candle_frame(symbol=["SPY", "SPY"], timestamp=closes)
        assert load_candles(database, frame, "1h").notes[0].startswith("SPY: its candles are stamped with")
        stamps = "SELECT to_char(ts AT TIME ZONE 'UTC', 'HH24:MI') FROM ohlcv_1h ORDER BY ts"
        assert database.execute(stamps).fetchall() == [("19:30",), ("20:30",)]
        assert load_candles(database, frame, "1h") == Loaded(0, 0, 2)
        assert database.execute(stamps).fetchall() == [("19:30",), ("20:30",)]

    def test_a_candle_at_a_time_is_judged_with_those_before_it(self, database: psycopg.Connection) -> None:
        def quarter(number: int) -> pl.DataFrame:
            return candle_frame(timestamp=[DAY + timedelta(minutes=15 * number)] * 2)

        load_candles(database, quarter(0), "1h")
        with pytest.raises(TableError, match=r"candles of \S+ are 15 minutes apart, timeframe is 1h "):
            load_candles(database, quarter(1), "1h")
        assert only(database, "SELECT count(*) FROM ohlcv_1h") == (2,)

    def test_a_split_between_stored_and_new_candles_is_named(self, database: psycopg.Connection) -> None:
        def day(number: int, price: float) -> pl.DataFrame:
            prices = {"open": price, "high": price + 0.01, "low": price - 0.01, "close": price}
            columns = {name: [value, 1.2] for name, value in prices.items()}
            return candle_frame(timestamp=[DAY + timedelta(days=number)] * 2, **columns).head(1)

        history = pl.concat([day(number, 11 + number / 100) for number in range(11)])
        assert load_candles(database, history, "1d").notes == ()
        after = day(11, 5.55)
        (note,) = load_candles(database, after, "1d").notes
        assert note.startswith(
            "SPY: the step from 2024-01-12T00:00Z to 2024-01-13T00:00Z looks like a 2:1 split"
        )

    def test_hours_that_are_stamped_otherwise_than_the_calendar_are_named(
        self, database: psycopg.Connection
    ) -> None:
        hours = [DAY + timedelta(days=day, hours=hour) for day in range(3) for hour in range(14, 21)]
        frame = pl.concat([candle_frame(timestamp=[hour] * 2).head(1) for hour in hours])
        (note,) = load_candles(database, frame, "1h").notes
        assert note.startswith(
            "SPY: candles are not on the times of calendar XNYS, the last at 2024-01-04T20"
        )


class TestCalendar:
    def test_the_actual_comes_later_and_may_be_corrected(self, database: psycopg.Connection) -> None:
        assert load_calendar(database, event_frame()) == Loaded(1, 0, 0)
        assert load_calendar(database, event_frame(actual=200.0)) == Loaded(0, 1, 0)
        assert load_calendar(database, event_frame(actual=210.0)) == Loaded(0, 1, 0)
        assert load_calendar(database, event_frame(actual=210.0)) == Loaded(0, 0, 1)
        assert load_calendar(database, event_frame()) == Loaded(0, 0, 1)
        stored = only(
            database, "SELECT title, actual, forecast, time_known, scheduled FROM economic_calendar"
        )
        assert stored == ('Jobs, "all"', 210.0, 170.0, True, True)

    def test_what_is_said_of_schedule_and_time_stays_until_said_again(
        self, database: psycopg.Connection
    ) -> None:
        load_calendar(database, event_frame(scheduled=False, time_known=False))
        assert load_calendar(database, event_frame()) == Loaded(0, 0, 1)
        assert load_calendar(database, event_frame(time_known=True)) == Loaded(0, 1, 0)
        assert only(database, "SELECT scheduled, time_known FROM economic_calendar") == (False, True)

    @pytest.mark.parametrize("column", ["title", "currency", "country", "symbol", "event_type"])
    def test_each_part_of_the_key_tells_events_apart(self, database: psycopg.Connection, column: str) -> None:
        load_calendar(database, event_frame())
        assert load_calendar(database, event_frame(**{column: "another"})) == Loaded(1, 0, 0)


def test_small_tables(database: psycopg.Connection) -> None:
    rate = pl.DataFrame({"bank": ["FED"], "decision_time": [DAY], "rate": [5.5]})
    for expected in (Loaded(1, 0, 0), Loaded(0, 0, 1)):
        assert load_rows(database, feeds.rates(rate), "upsert_central_bank_rates") == expected
    later = rate.with_columns(rate=pl.lit(5.25))
    assert load_rows(database, feeds.rates(later), "upsert_central_bank_rates") == Loaded(0, 1, 0)

    series = pl.DataFrame({"DATE": ["2024-01-04", "2024-01-05"], "VIXCLS": [14.1, 13.3]})
    for expected in (Loaded(2, 0, 0), Loaded(0, 0, 2)):
        assert load_rows(database, feeds.indicators(series), "upsert_economic_indicators") == expected
    known = database.execute("SELECT known_on::text FROM economic_indicators ORDER BY 1").fetchall()
    assert known == [("2024-01-05",), ("2024-01-08",)]
    assert load_rows(database, feeds.rates(rate.clear()), "upsert_central_bank_rates") == Loaded(0, 0, 0)


class TestCommand:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        candle_frame().write_csv(tmp_path / "candles.csv")
        return tmp_path / "candles.csv"

    def test_it_says_what_it_did(
        self, database: psycopg.Connection, file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["candles", str(file), "--timeframe", "1d"]) == 0
        assert main(["candles", str(file), "--timeframe", "1d", "--symbols", "SPY"]) == 0
        assert capsys.readouterr().out.splitlines() == [
            "candles.csv: 2 rows, 2 new, 0 changed, 0 unchanged",
            "candles.csv: 1 rows, 0 new, 0 changed, 1 unchanged",
        ]
        pl.concat([candle_frame(), candle_frame()]).write_csv(file)
        assert main(["candles", str(file), "--timeframe", "1d"]) == 0
        assert capsys.readouterr().out.splitlines() == [
            "candles.csv: 2 rows, 0 new, 0 changed, 2 unchanged",
            "note: 2 rows repeat another and were dropped",
        ]

    def test_a_dry_run_says_what_was_understood_and_stores_nothing(
        self, database: psycopg.Connection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "kurse.csv"
        file.write_text("Datum;Anfang;Hoch;Tief;Schluss\n02.01.2024;10,0;12,0;9,0;11,0\n")
        command = ["candles", str(file), "--timeframe", "1d", "--symbols", "SPY", "--map", "open=Anfang"]
        assert main([*command, "--dry-run"]) == 0
        assert capsys.readouterr().out.splitlines() == [
            "format: UTF-8, semicolon between values, names in line 1",
            "columns: timestamp = Datum, open = Anfang, high = Hoch, low = Tief, close = Schluss",
            "numbers: decimal comma",
            "dates: day, month, year",
            "zone: dates of sessions; no zone is applied",
            "order: oldest first",
            "candles: 1 of 1 symbol",
            "first candle: SPY 2024-01-02 00:00 UTC, open 10, high 12, low 9, close 11",
            "last candle: SPY 2024-01-02 00:00 UTC, open 10, high 12, low 9, close 11",
            "kurse.csv: 1 rows, 1 new, 0 changed, 0 unchanged; a dry run, nothing was stored",
        ]
        assert only(database, "SELECT count(*) FROM ohlcv_1d") == (0,)
        assert only(database, "SELECT count(*) FROM instruments") == (0,)
        assert main(command) == 0
        assert only(database, "SELECT symbol, close FROM ohlcv_1d") == ("SPY", 11.0)

    def test_a_candle_that_had_not_closed_when_the_file_was_written_is_left_out(
        self, database: psycopg.Connection, file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        hours = pl.concat([candle_frame(timestamp=[DAY + timedelta(hours=hour)] * 2) for hour in range(3)])
        hours.filter(symbol="BTC-USD").write_csv(file)
        written = (DAY + timedelta(hours=2, minutes=30)).timestamp()
        os.utime(file, (written, written))
        assert main(["candles", str(file), "--timeframe", "1h"]) == 0
        assert capsys.readouterr().out.splitlines() == [
            "candles.csv: 2 rows, 2 new, 0 changed, 0 unchanged",
            "note: 1 candles that had not closed were left out",
        ]

    def test_series_of_fred_are_no_candles(
        self, database: psycopg.Connection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "DEXUSEU.csv"
        file.write_text("observation_date,DEXUSEU\n2024-01-02,1.09\n")
        command = [str(file), "--preset", "fred"]
        assert main(["candles", *command, "--timeframe", "1d", "--symbols", "EURUSD"]) == 1
        assert "one value a date is no candle" in capsys.readouterr().err
        assert main(["indicators", *command]) == 0
        assert only(database, "SELECT series_id, value FROM economic_indicators") == ("DEXUSEU", 1.09)

    def test_a_bad_file_is_named(
        self, database: psycopg.Connection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        bad = tmp_path / "bad.csv"
        candle_frame(high=[1.0, 1.3]).write_csv(bad)
        for file in (bad, tmp_path / "none.csv"):
            assert main(["candles", str(file), "--timeframe", "1d"]) == 1
            error = capsys.readouterr().err
            assert error.startswith(f"error: {file}: ")
            assert error.count("\n") == 1

    def test_missing_tables_are_explained(
        self, empty_database_url: str, file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["candles", str(file), "--timeframe", "1d"]) == 1
        assert "make the tables with `python -m sql migrate` first" in capsys.readouterr().err

    def test_an_unreachable_database_is_explained(
        self, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/db")
        assert main(["candles", str(file), "--timeframe", "1d"]) == 1
        assert capsys.readouterr().err.startswith("error: can't connect to 127.0.0.1:1/db: ")


class TestWebAddresses:
    @pytest.fixture
    def feeds(self) -> Iterator[Feeds]:
        with feed_server() as served:
            yield served

    def test_a_calendar_of_a_provider_behind_a_header(
        self,
        database: psycopg.Connection,
        feeds: Feeds,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        rows = b'{"economicCalendar": [{"time": "2030-01-02 13:30:00", "event": "Claims", "country": "US"}]}'
        url = feeds.serve("/calendar", Answer(rows))
        monkeypatch.setenv("FEED_TOKEN", "the-secret")
        command = ["calendar", f"{url}?from={{from}}&k={{key}}", "--header", "X-Token=FEED_TOKEN"]
        assert main([*command, "--key", "FEED_TOKEN"]) == 0
        assert capsys.readouterr().out.startswith(f"{url}?from=…&k={{key}}: 1 rows, 1 new")
        ((path, headers),) = feeds.requests
        assert path.endswith("&k=the-secret")
        assert headers["X-Token"] == "the-secret"
        feeds.serve("/calendar", Answer(b"the-secret is not valid", 401))
        assert main([*command, "--key", "FEED_TOKEN"]) == 1
        assert capsys.readouterr().err == (
            f"error: {url}?from=…&k=… answers 401 Unauthorized: '… is not valid'\n"
        )

    def test_candles_of_each_symbol(
        self, database: psycopg.Connection, feeds: Feeds, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for symbol in ("SPY", "BTC-USD"):
            frame = candle_frame().filter(pl.col("symbol") == symbol).drop("symbol")
            feeds.serve(f"/{symbol}.csv", Answer(frame.write_csv().encode()))
        command = ["candles", feeds.address + "/{symbol}.csv", "--timeframe", "1d"]
        assert main([*command, "--symbols", "SPY,BTC-USD"]) == 0
        assert only(database, "SELECT count(DISTINCT symbol) FROM ohlcv_1d") == (2,)
        assert main(command) == 1
        assert "name them with --symbols A,B" in capsys.readouterr().err


def test_the_shared_data_loads_whole_and_once(database: psycopg.Connection, market_data: Path) -> None:
    daily = read_file(market_data / "candles_1d.parquet")
    events = read_file(market_data / "economic_calendar.parquet")
    decisions = feeds.rates(read_file(market_data / "fomc_rates.csv"))
    for again in (False, True):
        for frame, loaded in (
            (daily, load_candles(database, daily, "1d")),
            (events, load_calendar(database, events)),
            (decisions, load_rows(database, decisions, "upsert_central_bank_rates")),
        ):
            assert loaded == (Loaded(0, 0, frame.height) if again else Loaded(frame.height, 0, 0))
    sums = only(database, "SELECT sum(close)::float8, sum(volume)::float8 FROM ohlcv_1d")
    assert sums == pytest.approx((daily["close"].sum(), daily["volume"].sum()), rel=1e-9)
