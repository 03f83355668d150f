"""What the blocks of a run have in common is small, and every symbol is in one block."""

import pickle
from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.forecasting.event_sources import SourcesOfRun
from flows.forecasting.forecasts import SamplingSettings
from flows.forecasting.path_statistics import WantedStatistics
from flows.forecasting.run_plan import Block, RunPlan, RunSettings, blocks_of
from flows.runtime.time_limits import RunTime
from flows.scoring.calibration import Calibration
from market.instruments import Instrument
from tests.helpers.stand_in_server import MODEL

AS_OF = datetime(2024, 12, 18, 12, tzinfo=UTC)
SETTINGS = RunSettings(
    SamplingSettings("1h", 120, 20, 1.0, 1.0, 0, None),
    AS_OF,
    lookback=None,
    with_events=True,
    store_samples=False,
    stale_after=None,
    force=False,
    statistics=WantedStatistics(),
)


def instruments(count: int) -> dict[str, Instrument]:
    return {f"S{number}": Instrument(f"S{number}", "crypto", "24/7") for number in range(count)}


@given(st.integers(0, 40), st.integers(1, 12))
def test_every_symbol_is_in_one_block_and_in_order(count: int, size: int) -> None:
    blocks = blocks_of(instruments(count), size)
    assert [symbol for block in blocks for symbol in block.instruments] == list(instruments(count))
    assert all(0 < len(block.instruments) <= size for block in blocks)


@pytest.mark.parametrize(("count", "text"), [(1, "S0"), (3, "S0, S1, S2"), (25, "25 symbols, S0 to S24")])
def test_a_block_is_named_by_its_symbols(count: int, text: str) -> None:
    assert str(Block(instruments(count))) == text


def test_what_is_sent_to_another_process_is_small_and_holds_no_tables() -> None:
    sources = SourcesOfRun()
    sources._read = (None, np.zeros(10**6))  # type: ignore[assignment]  # tables that were read here
    calibration = Calibration(np.zeros(120), np.zeros(120), np.zeros(120, np.int64))
    plan = RunPlan(
        msgspec.structs.replace(MODEL, manifest={}),
        SETTINGS,
        392,
        dict.fromkeys(("crypto", "fx", "equity"), calibration),
        (),
        sources,
        time=RunTime(AS_OF, 3300.0),
    )
    sent = pickle.dumps((plan, Block(instruments(250))))
    assert len(sent) < 50_000
    received, block = pickle.loads(sent)
    assert received.sources._read is None
    assert (received.settings, received.time) == (plan.settings, plan.time)
    assert block == Block(instruments(250))
