"""What a person reads of a run."""

from dataclasses import replace
from typing import Any

import pytest

from flows.forecasting.run_summary import (
    SymbolOutcome,
    failure_message,
    notices,
    warning_lines,
)
from tests.helpers.outcomes import FAILED, HORIZON, SKIPPED, STALE, STORED, UNCHANGED


def test_stale_symbols_are_named_and_are_no_failure() -> None:
    assert notices([STALE, STORED]) == [f"stale-candles: STALE: SQ: not forecast: {STALE.stale}"]
    assert failure_message([STALE, STORED]) is None
    assert failure_message([STALE]) == f"nothing was forecast. SQ: {STALE.stale}"


@pytest.mark.parametrize(
    ("fields", "notice"),
    [
        ({"clipped": True}, "clipped-candles: CLIPPED: EURUSD: the last close"),
        ({"shorter_lookback": 250}, "shorter-lookback: SHORTER LOOKBACK: EURUSD (250)"),
    ],
)
def test_a_close_beyond_the_window_is_a_notice(fields: dict[str, Any], notice: str) -> None:
    marked = replace(STORED, **fields)
    (said,) = notices([marked, FAILED])
    assert said.startswith(notice)


def test_warnings_that_are_no_notices_are_listed_with_their_symbols() -> None:
    texts = ["split: a step of 2:1", "split: another", "candles-late: newer ones had closed"]
    outcomes = [
        SymbolOutcome("A", replace(HORIZON, warnings=tuple(texts))),
        SymbolOutcome("B", replace(HORIZON, warnings=(texts[0],))),
        FAILED,
    ]
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


def test_a_failure_of_thousands_names_a_hundred() -> None:
    outcomes = [SymbolOutcome(f"S{number}", error="connection refused") for number in range(5000)]
    message = failure_message(outcomes)
    assert message is not None
    assert message.startswith("5000 of 5000 symbols failed, 0 stored. S0, S1, ")
    assert message.endswith(", S99 and 4,900 more: connection refused")
