"""What a run of predict-batch says in its summary, its log and its rows of unusual candles and answers."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from market.warning_codes import WarningCode, warning
from tests.helpers.predict_runs import AS_OF, add_candles, add_releases, artifact, market, run, stored
from tests.helpers.stand_in_server import Script

__all__ = ["market"]

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_late_candles_are_said_loudly(market: psycopg.Connection[Any], script: Script) -> None:
    assert run(as_of=AS_OF + timedelta(hours=1)).is_completed()
    description, table = artifact()
    assert "LATE CANDLES: BTC-USD, ETH-USD, EURUSD:" in description  # the exchange of SPY has not opened yet
    assert table[0]["last candle"] == "2024-12-18 11:00 (late)"
    late = "candles-late: newer candles had closed when this was made, and were not in the database"
    assert late in stored(market)["EURUSD"]["warnings"]
    assert late not in stored(market)["SPY"]["warnings"]


def test_a_jump_shortens_the_lookback_unless_that_is_turned_off(
    market: psycopg.Connection[Any], script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_candles(market, "XAUUSD", 200)
    market.execute(
        "UPDATE ohlcv_1h SET close = 10 * close WHERE symbol = 'XAUUSD' AND ts IN "
        "(SELECT ts FROM ohlcv_1h WHERE symbol = 'XAUUSD' ORDER BY ts DESC LIMIT 5)"
    )
    assert run(symbols=["XAUUSD"], lookback=200).is_completed()
    (length,) = (request.lookback for request in script.requests)
    assert 128 <= length < 200
    assert market.execute("SELECT lookback FROM prediction_inputs").fetchall() == [(length,)]
    description, table = artifact()
    assert f"SHORTER LOOKBACK: XAUUSD ({length})" in description
    assert table[0]["last close"].endswith(f"(lookback {length})")
    monkeypatch.setenv("KRONOS_SHORTER_LOOKBACK", "none")
    assert run(symbols=["XAUUSD"], lookback=200).is_completed()
    assert script.requests[-1].lookback == 200


def test_a_close_that_the_server_says_is_clipped_is_marked(
    market: psycopg.Connection[Any], script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    said = warning(WarningCode.CLIPPED_CANDLES, "the close of the last candle lies beyond")
    script.warnings["ETH-USD"] = [said]
    assert run(symbols=["BTC-USD", "ETH-USD"]).is_completed()
    description, table = artifact()
    assert "CLIPPED: ETH-USD: the last close" in description
    assert [row["last close"].endswith("(clipped)") for row in table] == [False, True]
    assert f"ETH-USD: {said}" in [record.message for record in caplog.records]


def test_a_disk_that_is_nearly_full_is_in_the_summary_and_a_wrong_limit_fails_the_run(
    market: psycopg.Connection[Any], script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(total=2**40, used=0, free=2**20)
    monkeypatch.setattr("flows.runtime.disk_space.shutil.disk_usage", lambda folder: usage)
    assert run(symbols=["BTC-USD"]).is_completed()
    description, _ = artifact()
    assert "DISK NEARLY FULL: 1 MiB of 1,048,576 are free where " in description
    monkeypatch.setenv("KRONOS_MIN_FREE_MB", "many")
    state = run(symbols=["BTC-USD"])
    assert state.is_failed()
    assert str(state.message).startswith("KRONOS_MIN_FREE_MB is 'many'")


def test_a_symbol_whose_feed_has_ended_is_left_out_and_named(
    market: psycopg.Connection[Any], script: Script
) -> None:
    market.execute("UPDATE ohlcv_1h SET ts = ts - interval '14 days' WHERE symbol = 'SPY'")
    state = run()
    assert state.is_completed()
    assert sorted(stored(market)) == ["BTC-USD", "ETH-USD", "EURUSD"]
    description, table = artifact()
    named = (
        "SPY: not forecast: newest candle 2024-12-03 20:30 UTC, 70 later ones had closed by 2024-12-18 12:00"
    )
    assert f"STALE: {named}" in description
    assert table[0]["result"] == "STALE"
    assert table[0]["reason"].startswith("newest candle 2024-12-03 20:30 UTC")
    assert str(state.message).startswith("4 symbols: 3 stored, stale SPY. WITHOUT EVENTS: ")
    assert run(stale_after=70).is_completed()
    assert "SPY" in stored(market)


def test_warnings_of_the_server_travel_with_the_row(
    market: psycopg.Connection[Any], script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    add_releases(market)
    market.execute("DELETE FROM economic_calendar WHERE title ILIKE '%GDP%'")
    script.warnings = {"SPY": ["split: a step of 2:1 at 2024-12-17"]}
    run()
    rows = stored(market)
    told = {symbol: row["warnings"] for symbol, row in rows.items()}
    lacking = told["EURUSD"]  # what this calendar and these candles lack
    codes = [text.partition(":")[0] for text in lacking]
    assert codes.count("leader-missing") == 2
    assert "missing-releases" in codes
    assert told["SPY"] == [*lacking, *script.warnings["SPY"]]
    description, table = artifact()
    assert table[3]["warnings"].split(", ") == [*dict.fromkeys(codes), "split"]
    assert "split: a step of 2:1 at 2024-12-17 (SPY)" in description
    assert any("SPY: split: a step of 2:1" in record.message for record in caplog.records)
