"""The summary of a load of candles."""

from pathlib import Path

from flows.loading.candle_feed import CandleOutcome
from flows.loading.candle_report import candle_table, failure_message, with_absent
from flows.loading.rows import Loaded
from flows.loading.sources import Item

SPY = CandleOutcome("SPY", Loaded(1, 2, 3, ("a note",)), last="2024-06-12 13:30")
QQQ = CandleOutcome("QQQ")
BAD = [CandleOutcome(symbol, error="no answer") for symbol in ("NVDA", "MSFT")]


def test_a_failure_names_each_reason_once() -> None:
    assert failure_message([SPY, QQQ]) is None
    message = "2 of 4 symbols failed, 1 loaded, 1 unchanged. NVDA, MSFT: no answer"
    assert failure_message([SPY, QQQ, *BAD]) == message
    assert failure_message([SPY, *BAD]) == "2 of 3 symbols failed, 1 loaded. NVDA, MSFT: no answer"
    assert str(failure_message([])).startswith("nothing was loaded")


def test_symbols_that_were_requested_and_are_in_no_file_fail() -> None:
    file = Item("candles.csv", "/candles.csv", path=Path("/candles.csv"))
    absent = with_absent([SPY], ["SPY", "DXY"], [file])
    assert [(each.symbol, each.error) for each in absent] == [
        ("DXY", "the feed has no candles of it"),
        ("SPY", None),
    ]
    assert with_absent([SPY], None, [file]) == [SPY]
    unchanged = [CandleOutcome("candles.csv")]
    assert with_absent(unchanged, ["SPY", "DXY"], [file]) == unchanged


def test_the_table_has_a_row_for_each_outcome() -> None:
    assert candle_table([SPY, QQQ, BAD[0]]) == [
        {
            "symbol": "SPY",
            "result": "loaded",
            "last candle": "2024-06-12 13:30",
            "new": 1,
            "changed": 2,
            "unchanged": 3,
            "notes": "a note",
        },
        {"symbol": "QQQ", "result": "unchanged"},
        {"symbol": "NVDA", "result": "FAILED: no answer"},
    ]
