"""The table of a run: its columns, what stands first, and how many rows it has."""

import json
from dataclasses import replace
from typing import Any

import pytest

from flows.forecasting.run_summary import SymbolOutcome
from flows.forecasting.run_table import MOST_ROWS, event_words, outcome_line, price, summary_table
from tests.helpers.outcomes import FAILED, HORIZON, SKIPPED, STALE, STORED, UNCHANGED, WITHOUT

PAGE = "https://models.example.com/kronos"


def rows(*outcomes: SymbolOutcome) -> list[dict[str, Any]]:
    return summary_table(outcomes, "1h", PAGE)[0]


def test_the_columns_of_a_stored_row() -> None:
    assert rows(STORED) == [
        {
            "symbol": "EURUSD",
            "result": "stored",
            "page": f"[open]({PAGE}/#symbol=EURUSD&timeframe=1h&as_of=2024-12-18T11%3A00%3A00Z)",
            "last candle": "2024-12-18 11:00",
            "last close": "1.0500",
            "horizon": "2024-12-18 13:00",
            "p10": "1.0300",
            "p50": "1.0550",
            "p90": "1.0700",
            "events": "none active",
            "warnings": "",
            "queue ms": "3",
            "model ms": "52",
            "store ms": "4",
            "reason": "",
        }
    ]


def test_what_needs_attention_stands_first_and_every_row_has_every_column() -> None:
    table = rows(UNCHANGED, SKIPPED, STORED, STALE, WITHOUT, FAILED)
    assert [(row["symbol"], row["result"], row["events"], row["reason"]) for row in table] == [
        ("SPY", "FAILED", "", "PredictionRefused: Bad Request (400): no"),
        ("SQ", "STALE", "", STALE.stale),
        ("SPX", "skipped", "", "no 1h candles"),
        ("GLD", "stored", "not used", "the calendar is empty"),
        ("EURUSD", "stored", "none active", ""),
        ("GBPUSD", "unchanged", "none active", ""),
    ]
    assert len({tuple(row) for row in table}) == 1
    assert [row["queue ms"] for row in table] == ["", "", "", "", "3", ""]


def test_a_symbol_is_quoted_in_its_link() -> None:
    (row,) = rows(SymbolOutcome("BRK B/&#", error="no"))
    assert row["page"] == f"[open]({PAGE}/#symbol=BRK+B%2F%26%23&timeframe=1h)"


def test_many_symbols_make_a_table_of_those_that_need_attention() -> None:
    outcomes = [replace(STORED, symbol=f"S{number:05}") for number in range(10_000)]
    outcomes[7_000] = FAILED
    table, remark = summary_table(outcomes, "1h", PAGE)
    assert len(table) == MOST_ROWS
    assert table[0]["symbol"] == "SPY"
    assert remark is not None
    assert remark.startswith("The table shows 500 of 10,000 symbols")
    assert len(json.dumps(table)) < 300_000
    assert summary_table(outcomes[:MOST_ROWS], "1h", PAGE)[1] is None


@pytest.mark.parametrize(
    ("fields", "shown"),
    [({"clipped": True}, "1.0500 (clipped)"), ({"shorter_lookback": 250}, "1.0500 (lookback 250)")],
)
def test_a_close_beyond_the_window_is_marked(fields: dict[str, Any], shown: str) -> None:
    assert rows(replace(STORED, **fields))[0]["last close"] == shown


def test_a_late_candle_is_marked() -> None:
    assert rows(replace(STORED, late=True))[0]["last candle"] == "2024-12-18 11:00 (late)"


def test_warnings_are_codes() -> None:
    texts = ("split: a step of 2:1", "split: another", "candles-late: newer ones had closed")
    (row,) = rows(SymbolOutcome("A", replace(HORIZON, warnings=texts)))
    assert row["warnings"] == "split, candles-late"


@pytest.mark.parametrize(
    ("context", "without", "words"),
    [
        (None, None, "none active"),
        (None, "the calendar is empty", "not used: the calendar is empty"),
        (
            {"events_active": ["fomc", "cpi"], "surprise_directions": {"fomc": "hawkish"}},
            None,
            "fomc (hawkish), cpi",
        ),
        ({"events_active": ["nfp"]}, None, "nfp"),
    ],
)
def test_event_words(context: dict[str, Any] | None, without: str | None, words: str) -> None:
    assert event_words(context, without) == words


def test_lines_of_the_log() -> None:
    assert outcome_line(STORED) == (
        "EURUSD: from 1.0500 at 2024-12-18 11:00 to 1.0550 (1.0300 … 1.0700) at 2024-12-18 13:00 UTC; "
        "events: none active"
    )
    assert outcome_line(UNCHANGED).startswith("GBPUSD: unchanged, from 1.0500")
    assert outcome_line(FAILED) == "SPY: FAILED: PredictionRefused: Bad Request (400): no"
    assert outcome_line(STALE) == f"SQ: STALE: {STALE.stale}"
    assert outcome_line(SKIPPED) == "SPX: skipped: no 1h candles"
    assert outcome_line(WITHOUT).endswith("; events: not used: the calendar is empty")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (104883.42, "104,883"),
        (3893.54, "3,893.5"),
        (130.347, "130.35"),
        (1.049051, "1.0491"),
        (0.69143, "0.6914"),
        (0.0, "0.0000"),
        (2.40134e-5, "2.4013e-05"),
        (-1.2e-8, "-1.2e-08"),
    ],
)
def test_prices_have_five_digits(value: float, shown: str) -> None:
    assert price(value) == shown
