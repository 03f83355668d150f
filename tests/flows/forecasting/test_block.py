"""What a block of symbols says in the log of its run."""

from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from flows.forecasting import block
from flows.forecasting.block import counts
from flows.forecasting.run_plan import BlockOutcome
from flows.forecasting.run_summary import Horizon, SymbolOutcome
from tests.helpers.predict_runs import SYMBOLS, market, run
from tests.helpers.stand_in_server import Script

__all__ = ["market"]

NOON = datetime(2024, 12, 18, 12, tzinfo=UTC)
ROW = Horizon(NOON, NOON, 1.0, 2.0, 3.0, None, ())
STORED = [SymbolOutcome(symbol, ROW) for symbol in ("A", "B")]
OTHERS = [
    SymbolOutcome("C", ROW, unchanged=True),
    SymbolOutcome("D", stale="its feed stopped"),
    SymbolOutcome("E", error="refused"),
]


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (BlockOutcome(STORED, []), "2 stored"),
        (BlockOutcome([*STORED, *OTHERS], []), "2 stored, 1 unchanged, 1 left out, 1 failed"),
        (BlockOutcome([], ["A", "B"]), "2 to be forecast again with another model"),
    ],
)
def test_the_counts_of_a_block(outcome: BlockOutcome, text: str) -> None:
    assert counts(outcome) == text


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("most", [len(SYMBOLS), len(SYMBOLS) - 1])
def test_symbols_have_lines_of_their_own_in_a_small_block_alone(
    market: psycopg.Connection[Any],
    script: Script,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    most: int,
) -> None:
    monkeypatch.setattr(block, "LOGGED", most)
    script.warnings["SPY"] = ["low-volume: a warning about SPY"]
    assert run().is_completed()
    lines = [record.getMessage() for record in caplog.records if record.name == "prefect.task_runs"]
    of_symbols = [line for line in lines if line.startswith(tuple(f"{symbol}: " for symbol in SYMBOLS))]
    expected = len(SYMBOLS) + 1 if most == len(SYMBOLS) else 0
    assert len([line for line in of_symbols if "from" in line or "a warning about" in line]) == expected
    assert f"4 symbols, {SYMBOLS[0]} to {SYMBOLS[-1]}: 4 stored" in lines
