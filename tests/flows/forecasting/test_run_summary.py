"""What a person reads of a run."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from flows.forecasting.run_summary import (
    Horizon,
    SymbolOutcome,
    event_words,
    failure_message,
    notices,
    outcome_line,
    price,
    summary_table,
    warning_lines,
)
from flows.forecasting.store import PredictionRow

ROW = PredictionRow(
    symbol="EURUSD",
    timeframe="1h",
    as_of=datetime(2024, 12, 18, 11, tzinfo=UTC),
    model_name="tiny",
    model_version="abc",
    pred_len=2,
    timestamps=[datetime(2024, 12, 18, 12, tzinfo=UTC), datetime(2024, 12, 18, 13, tzinfo=UTC)],
    p10=[1.04, 1.03],
    p50=[1.05, 1.055],
    p90=[1.06, 1.07],
    seed=1,
    event_context=None,
)
HORIZON = Horizon.of(ROW)
STORED = SymbolOutcome("EURUSD", HORIZON, last_close=1.05)
UNCHANGED = SymbolOutcome("GBPUSD", HORIZON, last_close=1.05, unchanged=True)
FAILED = SymbolOutcome("SPY", error="PredictionRefused: Bad Request (400): no")
SKIPPED = SymbolOutcome("SPX", skipped="no 1h candles")
STALE = SymbolOutcome("SQ", stale="newest candle 2024-08-30 19:30 UTC, 500 later ones had closed")


def test_the_table_shows_the_horizon_and_names_what_failed() -> None:
    assert summary_table([STORED, FAILED, SKIPPED, STALE]) == [
        {
            "symbol": "EURUSD",
            "result": "stored",
            "last candle": "2024-12-18 11:00",
            "last close": "1.0500",
            "horizon": "2024-12-18 13:00",
            "p10": "1.0300",
            "p50": "1.0550",
            "p90": "1.0700",
            "events": "none active",
            "warnings": "",
        },
        {"symbol": "SPY", "result": "FAILED: PredictionRefused: Bad Request (400): no"},
        {"symbol": "SPX", "result": "skipped: no 1h candles"},
        {"symbol": "SQ", "result": f"STALE: {STALE.stale}"},
    ]


def test_stale_symbols_are_named_and_are_no_failure() -> None:
    assert notices([STALE, STORED]) == [f"stale-candles: STALE: SQ: not forecast: {STALE.stale}"]
    assert failure_message([STALE, STORED]) is None
    assert failure_message([STALE]) == f"nothing was forecast. SQ: {STALE.stale}"
    assert outcome_line(STALE) == f"SQ: STALE: {STALE.stale}"


@pytest.mark.parametrize(
    ("fields", "shown", "notice"),
    [
        ({"clipped": True}, "1.0500 (clipped)", "clipped-candles: CLIPPED: EURUSD: the last close"),
        (
            {"shorter_lookback": 250},
            "1.0500 (lookback 250)",
            "shorter-lookback: SHORTER LOOKBACK: EURUSD (250)",
        ),
    ],
)
def test_a_close_beyond_the_window_is_marked(fields: dict[str, Any], shown: str, notice: str) -> None:
    marked = replace(STORED, **fields)
    assert summary_table([marked])[0]["last close"] == shown
    (said,) = notices([marked, FAILED])
    assert said.startswith(notice)


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
    assert outcome_line(FAILED) == "SPY: FAILED: PredictionRefused: Bad Request (400): no"


def test_a_row_that_was_there_already_is_shown_as_unchanged() -> None:
    (row,) = summary_table([UNCHANGED])
    (stored,) = summary_table([STORED])
    assert row == {**stored, "symbol": "GBPUSD", "result": "unchanged"}
    assert outcome_line(UNCHANGED).startswith("GBPUSD: unchanged, from 1.0500")


def test_warnings_are_codes_in_the_table_and_words_below_it() -> None:
    texts = ["split: a step of 2:1", "split: another", "candles-late: newer ones had closed"]
    outcomes = [
        SymbolOutcome("A", replace(HORIZON, warnings=tuple(texts))),
        SymbolOutcome("B", replace(HORIZON, warnings=(texts[0],))),
        FAILED,
    ]
    assert [row.get("warnings") for row in summary_table(outcomes)] == ["split, candles-late", "split", None]
    assert warning_lines(outcomes) == ["split: a step of 2:1 (A, B)", "split: another (A)"]


def test_the_notices_gather_symbols_by_reason() -> None:
    outcomes = [
        SymbolOutcome(name, HORIZON, without_events=reason, late=late)
        for name, reason, late in [
            ("A", "calendar empty", True),
            ("B", None, True),
            ("C", "calendar empty", False),
            ("D", "bad row", False),
        ]
    ]
    assert notices(outcomes) == [
        "candles-late: LATE CANDLES: A, B: newer ones have closed and are not in the database",
        "events-not-used: WITHOUT EVENTS: A, C: calendar empty",
        "events-not-used: WITHOUT EVENTS: D: bad row",
    ]
    assert notices([STORED, FAILED]) == []


def test_a_late_candle_is_marked() -> None:
    (row,) = summary_table([SymbolOutcome("EURUSD", HORIZON, last_close=1.05, late=True)])
    assert row["last candle"] == "2024-12-18 11:00 (late)"


@pytest.mark.parametrize(
    ("outcomes", "message"),
    [
        ([STORED, SKIPPED], None),
        ([STORED, FAILED], "1 of 2 symbols failed, 1 stored. SPY: PredictionRefused: Bad Request (400): no"),
        ([SKIPPED], "nothing was forecast. SPX: no 1h candles"),
        ([UNCHANGED], None),
        (
            [UNCHANGED, FAILED, STORED],
            "1 of 3 symbols failed, 1 stored, 1 unchanged. SPY: PredictionRefused: Bad Request (400): no",
        ),
    ],
)
def test_a_run_fails_with_the_names_of_what_failed(
    outcomes: list[SymbolOutcome], message: str | None
) -> None:
    assert failure_message(outcomes) == message


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
