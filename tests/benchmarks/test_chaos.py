"""What the reader of the chaos rounds takes for a fault of a row, and how faults are dealt to rounds."""

from datetime import UTC, datetime
from typing import Any

import pytest

from benchmarks.chaos.installation import KINDS
from benchmarks.chaos.market import SYMBOLS
from benchmarks.chaos.reader import faults_of
from benchmarks.chaos.rounds import DOWN_S, plan

AS_OF = datetime(2025, 6, 18, 16, tzinfo=UTC)
FOMC = {"events_active": ["fomc"], "surprise_directions": {}}
WITHOUT = ["events-not-used: the calendar can't be read"]
WHOLE: dict[str, Any] = {
    "symbol": "COIN00-USD",
    "as_of": AS_OF,
    "pred_len": 2,
    "timestamps": [AS_OF, AS_OF],
    "p10": [1.0, 1.0],
    "p50": [2.0, 2.0],
    "p90": [3.0, 3.0],
    "event_context": FOMC,
    "warnings": None,
    "lookback": 3,
    "has_inputs": True,
    "event_bytes": (3 + 2) * 20 * 4,
}


@pytest.mark.parametrize(
    "row", [WHOLE, WHOLE | {"event_context": None, "event_bytes": None, "warnings": WITHOUT}]
)
def test_a_whole_row_has_no_fault(row: dict[str, Any]) -> None:
    assert faults_of(row) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"p90": [3.0]}, "lengths"),
        ({"pred_len": 3}, "lengths"),
        ({"p50": [2.0, float("nan")]}, "not finite"),
        ({"p10": [2.5, 1.0]}, "quantiles cross"),
        ({"has_inputs": False}, "its inputs are missing"),
        ({"event_bytes": 80}, "event array has 80 bytes"),
        ({"event_context": None}, "of a row with events"),
        ({"event_bytes": None}, "of a row without events"),
        ({"warnings": WITHOUT}, "of a row with events"),
    ],
)
def test_what_is_not_whole_is_named(change: dict[str, Any], words: str) -> None:
    assert any(words in fault for fault in faults_of(WHOLE | change))


def test_every_kind_of_part_is_killed_in_two_rounds_of_three_faults() -> None:
    for seed in range(20):
        rounds = plan(seed, 2, lambda _: 3)
        assert {fault.kind for hand in rounds for fault in hand} == set(KINDS)
        for hand in rounds:
            assert [fault.rows for fault in hand] == sorted(fault.rows for fault in hand)
            assert all(0 <= fault.rows < len(SYMBOLS) for fault in hand)
            assert all(DOWN_S[0] <= fault.down_s <= DOWN_S[1] for fault in hand)


def test_a_seed_gives_the_same_faults_again() -> None:
    assert plan(7, 5, lambda chance: chance.randint(1, 4)) == plan(7, 5, lambda chance: chance.randint(1, 4))


def test_no_round_kills_a_part_twice() -> None:
    for seed in range(20):
        for hand in plan(seed, 9, lambda chance: chance.randint(1, len(KINDS))):
            assert len({fault.kind for fault in hand}) == len(hand)
