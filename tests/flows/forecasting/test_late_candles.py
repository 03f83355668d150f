"""Late candles: which symbols are waited for, how they arrive, and that the others go first."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import psycopg
import pytest
from prefect.logging import disable_run_logger

from flows.forecasting import blocks, late_candles
from flows.forecasting import tasks as predict_tasks
from flows.forecasting.late_candles import (
    arrivals,
    expected_candles,
    may_be_late,
    newest_candles,
    waiting_ends_in_s,
)
from flows.predict import predict_batch
from flows.runtime.run_database import RunDatabase
from market.instruments import Instrument, default_instruments
from market.timeframes import Timeframe
from sql.connect import connect
from sql.loading import load
from tests.flows.forecasting.test_candles import INSTRUMENTS, NOON, cut, frame
from tests.helpers.stand_in_server import Script

HOUR = timedelta(hours=1)
SATURDAY = datetime(2024, 12, 21, 12, tzinfo=UTC)


@pytest.fixture
def short_polls(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(late_candles, "POLL_S", 0.05)
    with disable_run_logger():
        yield


@pytest.mark.parametrize(
    ("symbol", "timeframe", "newest", "as_of", "late"),
    [
        ("BTC-USD", "1h", NOON - HOUR, NOON, False),
        ("BTC-USD", "1h", NOON, NOON + timedelta(minutes=5), False),  # still open
        ("BTC-USD", "1h", NOON - HOUR, NOON + timedelta(minutes=59), False),
        ("BTC-USD", "1h", NOON - HOUR, NOON + HOUR, True),
        ("BTC-USD", "1h", NOON - 2 * HOUR, NOON, True),
        ("EURUSD", "1h", datetime(2024, 12, 20, 21, tzinfo=UTC), SATURDAY, False),  # closed for the weekend
        ("EURUSD", "1h", datetime(2024, 12, 20, 20, tzinfo=UTC), SATURDAY, True),
        ("SPY", "1h", datetime(2024, 12, 17, 20, 30, tzinfo=UTC), NOON, False),  # before the open
        ("SPY", "1d", datetime(2024, 12, 17, tzinfo=UTC), NOON, False),
        ("SPY", "1d", datetime(2024, 12, 16, tzinfo=UTC), NOON, True),
        ("SPY", "1d", datetime(2024, 12, 20, tzinfo=UTC), SATURDAY, False),
    ],
)
def test_which_symbols_may_be_late(
    symbol: str, timeframe: Timeframe, newest: datetime, as_of: datetime, late: bool
) -> None:
    found = may_be_late({symbol: INSTRUMENTS[symbol]}, {symbol: newest}, timeframe, as_of)
    assert found == ([symbol] if late else [])


def test_symbols_without_candles_or_with_an_unknown_calendar_are_not_late() -> None:
    known = {"ETH-USD": INSTRUMENTS["ETH-USD"], "ODD": Instrument("ODD", "equity", "MOON")}
    assert may_be_late(known, {"ODD": NOON - 9 * HOUR}, "1h", NOON) == []


def test_the_candles_that_are_expected() -> None:
    behind = {"BTC-USD": 0, "ETH-USD": 1, "EURUSD": 3, "XAUUSD": 30}  # the last one is stale
    parts = [frame(symbol, "1h", NOON - HOUR * hours, 50) for symbol, hours in behind.items()]
    windows = cut(pl.concat(parts), list(behind)).windows
    assert expected_candles(windows, "1h", NOON) == {"ETH-USD": NOON - HOUR, "EURUSD": NOON - HOUR}


def test_a_feed_with_stamps_of_its_own_is_not_late() -> None:
    """Stamped on the clock hour, where the session opens at half past."""
    as_of = datetime(2024, 12, 18, 21, 5, tzinfo=UTC)
    hours = frame("SPY", "1h", as_of, 70)
    hours = hours.with_columns(ts=hours["ts"].dt.truncate("1h"))
    assert may_be_late({"SPY": INSTRUMENTS["SPY"]}, {"SPY": hours["ts"][-1]}, "1h", as_of) == ["SPY"]
    assert expected_candles(cut(hours, ["SPY"], as_of=as_of).windows, "1h", as_of) == {}


def test_a_run_of_the_past_waits_for_nothing() -> None:
    now = datetime.now(UTC)
    assert waiting_ends_in_s(now - timedelta(seconds=301), 300.0) == 0.0
    assert waiting_ends_in_s(now, 0.0) == 0.0
    assert 0.0 < waiting_ends_in_s(now, 300.0) <= 300.0


def add(database: psycopg.Connection[Any], symbol: str, *stamps: datetime) -> None:
    with database.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO ohlcv_1h (symbol, ts, open, high, low, close) VALUES (%s, %s, 1, 2, 0.5, 1.5)",
            [(symbol, stamp) for stamp in stamps],
        )


def test_the_newest_candles_of_the_table(database: psycopg.Connection[Any]) -> None:
    add(database, "BTC-USD", NOON - 2 * HOUR, NOON - HOUR, NOON)
    add(database, "ETH-USD", NOON + HOUR)
    database.execute("INSERT INTO ohlcv_1h VALUES ('SPY', '-infinity', 1, 1, 1, 1)")
    found = newest_candles(database, "1h", ["BTC-USD", "ETH-USD", "SPY", "ODD"], NOON)
    assert found == {"BTC-USD": NOON - HOUR}


@pytest.mark.usefixtures("short_polls")
class TestArrivals:
    EXPECTED = {"BTC-USD": NOON - HOUR, "ETH-USD": NOON - HOUR, "EURUSD": NOON - HOUR}

    @pytest.fixture
    def waiting(
        self, database: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[RunDatabase]:
        add(database, "BTC-USD", NOON - 2 * HOUR)
        with RunDatabase() as run_database:
            yield run_database

    def test_symbols_come_together_as_their_candles_do(
        self, database: psycopg.Connection[Any], waiting: RunDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(late_candles, "waiting_ends_in_s", lambda *_: 600.0)
        groups = arrivals(waiting, "1h", self.EXPECTED, NOON, 600.0)
        add(database, "BTC-USD", NOON - HOUR)
        add(database, "EURUSD", NOON - HOUR)
        assert next(groups) == ["BTC-USD", "EURUSD"]
        threading.Timer(0.2, add, (database, "ETH-USD", NOON - HOUR)).start()
        assert next(groups) == ["ETH-USD"]
        assert list(groups) == []

    def test_the_others_come_when_the_time_is_over(
        self, database: psycopg.Connection[Any], waiting: RunDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(late_candles, "waiting_ends_in_s", lambda *_: 0.2)
        add(database, "ETH-USD", NOON - HOUR)
        groups = arrivals(waiting, "1h", self.EXPECTED, NOON, 0.2)
        assert list(groups) == [["ETH-USD"], ["BTC-USD", "EURUSD"]]

    def test_a_database_that_fails_meanwhile_is_asked_again(
        self, database: psycopg.Connection[Any], waiting: RunDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(late_candles, "waiting_ends_in_s", lambda *_: 600.0)
        add(database, "BTC-USD", NOON - HOUR)
        groups = arrivals(waiting, "1h", self.EXPECTED, NOON, 600.0)
        assert next(groups) == ["BTC-USD"]
        database.execute("ALTER TABLE ohlcv_1h RENAME TO moved")

        def back() -> None:
            database.execute("ALTER TABLE moved RENAME TO ohlcv_1h")
            add(database, "ETH-USD", NOON - HOUR)
            add(database, "EURUSD", NOON - HOUR)

        threading.Timer(0.3, back).start()
        assert sorted(symbol for group in groups for symbol in group) == ["ETH-USD", "EURUSD"]


@pytest.mark.usefixtures("prefect_server")
def test_complete_symbols_go_first_and_late_ones_as_their_candles_arrive(
    database: psycopg.Connection[Any], database_url: str, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ETH arrives while the run waits, SOL never does; the run names it."""
    monkeypatch.setattr(late_candles, "POLL_S", 0.1)
    monkeypatch.setattr(blocks, "BLOCK", 1)
    monkeypatch.setattr(late_candles, "waiting_ends_in_s", lambda *_: 0.5)  # from when the others are done
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    # The candle of this hour is still open; it counts if the next hour begins during the test.
    missing = {"BTC-USD": 0, "ETH-USD": 2, "SOL-USD": 2, "XRP-USD": 0}
    for symbol, count in missing.items():
        database.execute(load("upsert_instruments"), {**vars(default_instruments()[symbol]), "active": True})
        add(database, symbol, *(hour - HOUR * n for n in range(count, 45)))

    def arrive() -> None:
        while not script.requests:
            time.sleep(0.01)
        with connect(database_url, autocommit=True) as connection:
            add(connection, "ETH-USD", hour - HOUR, hour)

    loader = threading.Thread(target=arrive, daemon=True)
    whole = late_candles.newest_candles

    def after_arrival(*given: Any) -> dict[str, datetime]:
        loader.join()
        return whole(*given)

    monkeypatch.setattr(late_candles, "newest_candles", after_arrival)
    loader.start()
    state = predict_batch(
        timeframe="1h", pred_len=4, sample_count=3, lookback=40, wait_for_candles=3000.0, return_state=True
    )
    assert state.is_completed()
    assert [request.symbol for request in script.requests] == ["BTC-USD", "XRP-USD", "ETH-USD", "SOL-USD"]
    outcomes: list[Any] = list(state.result())
    late = {outcome.symbol: outcome.late for outcome in outcomes}
    assert late == {"BTC-USD": False, "ETH-USD": False, "SOL-USD": True, "XRP-USD": False}
    rows = database.execute("SELECT symbol, as_of FROM ml_predictions").fetchall()
    newest = dict(rows)
    assert newest["ETH-USD"] == newest["BTC-USD"] > newest["SOL-USD"] == hour - 2 * HOUR


@pytest.mark.usefixtures("prefect_server")
def test_a_run_that_does_not_wait_reads_nothing_more(
    database: psycopg.Connection[Any], script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unexpected(*_: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(predict_tasks, "newest_candles", unexpected)
    database.execute(load("upsert_instruments"), {**vars(default_instruments()["BTC-USD"]), "active": True})
    add(database, "BTC-USD", *(datetime.now(UTC) - HOUR * n for n in range(4, 50)))
    assert predict_batch(
        timeframe="1h", pred_len=4, sample_count=3, lookback=40, wait_for_candles=0.0, return_state=True
    ).is_completed()
    assert script.calls == {"BTC-USD": 1}
