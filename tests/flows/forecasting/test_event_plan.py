"""Event arrays of a run from a real Postgres, and every way in which a forecast ends up without them."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import polars as pl
import psycopg
import pytest

from flows.events import EventResult
from flows.forecasting.candles import CandleWindow, closed_windows
from flows.forecasting.event_plan import (
    EventPlan,
    event_requests,
    plan_events,
    requests_of_times,
    warnings_by_text,
    why_unusable,
)
from flows.forecasting.window_times import WindowCut
from flows.generated.releases import generated_releases
from flows.load import load_calendar
from market.instruments import Instrument, default_instruments
from market.time_grid import future_timestamps, past_timestamps
from tests.helpers.stand_in_server import MODEL

AS_OF = datetime(2024, 12, 18, 12, tzinfo=UTC)
NOW = np.datetime64("2024-12-18T12:00", "us")


def window(symbol: str, count: int = 40) -> CandleWindow:
    instrument = default_instruments()[symbol]
    times = past_timestamps(instrument, "1h", NOW, count + 1)[:-1]
    prices = np.linspace(100.0, 101.0, count)
    columns = dict.fromkeys(("open", "high", "low", "close"), prices)
    return CandleWindow(instrument, times, columns, future_timestamps(instrument, "1h", times[-1], 24))


def test_windows_from_times_alone_are_those_from_the_candles() -> None:
    """Among them one after a hole, one that is stale, and one that is too short."""
    instruments = {
        name: replace(default_instruments()[like], symbol=name)
        for name, like in {
            "WHOLE": "EURUSD", "EQUAL": "EURUSD", "OTHER": "BTC-USD", "HOLE": "BTC-USD", "STALE": "BTC-USD",
            "SHORT": "BTC-USD",
        }.items()
    }  # fmt: skip
    times = {name: past_timestamps(each, "1h", NOW, 200) for name, each in instruments.items()}
    times["HOLE"] = np.delete(times["HOLE"], slice(60, 100))
    times["STALE"], times["SHORT"] = times["STALE"][:-50], times["SHORT"][-20:]
    prices = dict.fromkeys(("open", "high", "low", "close", "volume", "amount"), 1.0)
    candles = pl.concat(
        [
            pl.DataFrame({"symbol": [name] * len(stamps), "ts": stamps})
            .with_columns(pl.col("ts").dt.replace_time_zone("UTC"))
            .with_columns(**{column: pl.lit(value) for column, value in prices.items()})
            for name, stamps in times.items()
        ]
    )
    cut = WindowCut("1h", AS_OF, lookback=150, pred_len=24, min_candles=32)
    found = closed_windows(candles, instruments, "1h", AS_OF, lookback=150, pred_len=24, min_candles=32)
    assert set(found.windows) == {"WHOLE", "EQUAL", "OTHER", "HOLE"}
    expected = {request.grid for request in event_requests(found.windows, "1h", AS_OF)}
    requests = requests_of_times(times, instruments, cut)
    assert len(requests) == 3  # equal windows once
    assert {request.grid for request in requests} == expected


WINDOWS = {symbol: window(symbol) for symbol in ("EURUSD", "BTC-USD")}


@pytest.fixture
def calendar(database: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    start, end = datetime(2022, 6, 1, tzinfo=UTC), datetime(2025, 3, 1, tzinfo=UTC)
    load_calendar(database, generated_releases(start, end, now=AS_OF, seed=1))
    return database


def test_every_symbol_gets_an_array_and_its_context(calendar: psycopg.Connection[Any]) -> None:
    plan = plan_events(calendar, MODEL, WINDOWS, "1h", AS_OF)
    assert plan.reasons == {}
    for symbol in WINDOWS:
        array = plan.arrays[symbol]
        assert array.shape == (64, 20)
        assert array.dtype == np.float32
        context = plan.contexts[symbol]
        assert context is not None
        assert "fomc" in context["events_active"]  # the third Wednesday of December at 14:00 New York


def test_leaders_without_candles_are_said_once_for_all_symbols(calendar: psycopg.Connection[Any]) -> None:
    warnings = plan_events(calendar, MODEL, WINDOWS, "1h", AS_OF).warnings
    assert any("SPY" in text for text in warnings)
    assert all(symbols == list(WINDOWS) for symbols in warnings.values())


def test_an_empty_calendar_is_a_reason(database: psycopg.Connection[Any]) -> None:
    plan = plan_events(database, MODEL, WINDOWS, "1h", AS_OF)
    assert plan.arrays == plan.contexts == {}
    assert set(plan.reasons) == set(WINDOWS)
    assert "calendar" in plan.reasons["EURUSD"]


def test_a_calendar_that_cannot_be_read_is_a_reason(database: psycopg.Connection[Any]) -> None:
    database.execute("DROP TABLE economic_calendar")
    plan = plan_events(database, MODEL, WINDOWS, "1h", AS_OF)
    assert plan.arrays == {}
    assert plan.reasons["EURUSD"].startswith("the calendar can't be read: relation")


def test_a_lost_connection_is_worth_another_try(database: psycopg.Connection[Any]) -> None:
    database.close()
    with pytest.raises(psycopg.OperationalError):
        plan_events(database, MODEL, WINDOWS, "1h", AS_OF)


def test_one_symbol_s_trouble_is_its_own(calendar: psycopg.Connection[Any]) -> None:
    strange = replace(WINDOWS["BTC-USD"], instrument=Instrument("BTC-USD", "crypto", "MOON"))
    plan = plan_events(calendar, MODEL, {**WINDOWS, "BTC-USD": strange}, "1h", AS_OF)
    assert set(plan.arrays) == {"EURUSD"}
    assert set(plan.reasons) == {"BTC-USD"}
    assert "MOON" in plan.reasons["BTC-USD"]


def test_no_symbols_need_no_calendar(database: psycopg.Connection[Any]) -> None:
    assert plan_events(database, MODEL, {}, "1h", AS_OF) == EventPlan({}, {}, {})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"has_events": False}, "no EventEncoder"),
        ({"event_schema": 2}, "event schema 2 and these flows build schema 1"),
    ],
)
def test_a_bundle_without_fitting_events_is_a_reason(
    calendar: psycopg.Connection[Any], change: dict[str, Any], words: str
) -> None:
    plan = plan_events(calendar, msgspec.structs.replace(MODEL, **change), WINDOWS, "1h", AS_OF)
    assert plan.arrays == {}
    assert words in plan.reasons["EURUSD"]
    assert plan.reasons["EURUSD"] == plan.reasons["BTC-USD"]


def test_a_fitting_bundle_is_usable() -> None:
    assert why_unusable(MODEL) is None


def test_warnings_are_gathered_by_text() -> None:
    results = {"A": EventResult(warnings=("x", "y")), "B": EventResult(warnings=("x",))}
    assert warnings_by_text(results) == {"x": ["A", "B"], "y": ["A"]}
