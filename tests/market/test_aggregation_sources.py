"""Which finer candles are read for the coarser ones of an instrument."""

import numpy as np
import pytest

from market.aggregation import aggregate
from market.aggregation_sources import choose_sources, finer_timeframes, first_needed, needed_candles
from market.time_grid import past_timestamps
from tests.helpers.random_candles import instrument, random_candles

CALENDARS = ("24/7", "FX", "METAL", "XNYS", "XSHG", "XTKS", "CMES", "FX:XNYS")


@pytest.mark.parametrize("calendar", CALENDARS)
@pytest.mark.parametrize(("source", "timeframe"), [("1h", "4h"), ("5m", "1d"), ("1d", "1w"), ("1h", "1w")])
def test_enough_finer_candles_are_read_for_a_count(calendar: str, source: str, timeframe: str) -> None:
    traded = instrument(calendar)
    newest = past_timestamps(traded, source, np.datetime64("2024-06-13T10:10", "us"), 1)[0]
    stamps = past_timestamps(traded, source, newest, 5000)
    needed = stamps[stamps >= first_needed(traded, timeframe, newest, 10)]
    whole = aggregate(traded, timeframe, source, stamps, random_candles(len(stamps)))
    part = aggregate(traded, timeframe, source, needed, random_candles(len(stamps))[-len(needed) :])
    assert 10 <= len(part.timestamps) <= 12
    np.testing.assert_array_equal(part.timestamps[-10:], whole.timestamps[-10:])
    np.testing.assert_array_equal(part.features[-10:], whole.features[-10:])


def test_the_coarsest_finer_timeframe_is_chosen_unless_the_instrument_names_one() -> None:
    named = instrument("FX", aggregate_from="5m")
    assert finer_timeframes(instrument("FX"), "1h") == ("30m", "15m", "5m", "1m")
    assert finer_timeframes(named, "1h") == ["5m"]
    assert finer_timeframes(named, "5m") == []
    newest = {
        name: {"A": np.datetime64(0, "us"), "B": np.datetime64(0, "us")} for name in ("1m", "5m", "15m")
    }
    chosen = choose_sources({"A": instrument("FX"), "B": named, "C": named}, "1h", newest)
    assert {source: list(of_source) for source, of_source in chosen.items()} == {"15m": ["A"], "5m": ["B"]}


def test_what_is_needed_of_each_symbol_and_which_have_no_calendar() -> None:
    instruments = {"A": instrument("24/7"), "B": instrument("NOWHERE"), "C": instrument("24/7")}
    newest = {"1h": dict.fromkeys("AB", np.datetime64("2024-06-13T10", "us"))}
    needed = needed_candles(instruments, "4h", newest, 2)
    assert {source: list(starts) for source, starts in needed.starts.items()} == {"1h": ["A"]}
    assert "unknown calendar 'NOWHERE'" in needed.refused.pop("B")
    assert needed.refused == {}
