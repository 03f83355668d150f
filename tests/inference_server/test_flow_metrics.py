"""Tests the metrics of the flows: which series a state has, and the route on a real Postgres."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from inference_server.flow_metrics import flow_exposition
from inference_server.flow_state import Coverage, FlowRun, FlowState, NewestCandle, SymbolRun
from market.instruments import Instrument
from sql.loading import load
from tests.helpers.serving import ready_client

NOW = datetime(2024, 6, 12, 14, 7, tzinfo=UTC)  # a Wednesday, on which the exchanges are open
HOUR = timedelta(hours=1)
RUN = FlowRun(
    deployment="predict-1h",
    flow="predict-batch",
    timeframe="1h",
    started_at=NOW - timedelta(seconds=90),
    ended_at=NOW - timedelta(seconds=60),
    state="Completed",
    succeeded_at=NOW - timedelta(seconds=60),
    counts={"stored": 3, "unchanged": 1, "failed": 2},
    without_events=1,
)
BTC = NewestCandle("1h", "BTC-USD", "crypto", "24/7", NOW.replace(hour=13, minute=0))
ETH = replace(BTC, symbol="ETH-USD", opened_at=NOW.replace(hour=10, minute=0))
EURUSD = NewestCandle("1h", "EURUSD", "fx", "FX", NOW.replace(hour=13, minute=0))
STATE = FlowState(
    complete=True,
    candles=[BTC, ETH, EURUSD],
    runs=[RUN],
    symbol_runs={
        ("1h", "BTC-USD"): SymbolRun(NOW - HOUR, with_events=True),
        ("1h", "ETH-USD"): SymbolRun(NOW - 9 * HOUR, with_events=False),
        ("1d", "EURUSD"): SymbolRun(NOW, with_events=True),
        ("1h", "GONE"): SymbolRun(NOW - 999 * HOUR, with_events=False),
    },
    coverage=[Coverage("1h", "crypto", "base", 200, 150, 0, 0), Coverage("1h", "fx", "base", 10, 4, 10, 8)],
)

RUN_LABELS = 'deployment="predict-1h",flow="predict-batch"'


def series(state: FlowState, symbols: int = 1000) -> dict[str, float]:
    """Every series as it is written, without the prefix of its name, and its value."""
    return series_of(flow_exposition(state, symbols, NOW).decode())


def series_of(text: str) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name.removeprefix("kronos_"): float(value) for name, _, value in lines}


def named(seen: dict[str, float], name: str) -> dict[str, float]:
    """The series of one metric by their labels."""
    return {
        each.removeprefix(f"{name}{{").removesuffix("}"): value
        for each, value in seen.items()
        if each.startswith(f"{name}{{")
    }


def test_a_run_has_its_times_its_state_and_its_counts() -> None:
    seen = series(STATE)
    labels = f'{{{RUN_LABELS},timeframe="1h"}}'
    assert seen["flow_metrics_up"] == 1
    assert seen[f"flow_last_start_timestamp_seconds{labels}"] == RUN.started_at.timestamp()
    assert seen[f"flow_last_end_timestamp_seconds{labels}"] == RUN.ended_at.timestamp()
    assert seen[f"flow_last_success_timestamp_seconds{labels}"] == RUN.ended_at.timestamp()
    assert seen[f"flow_last_run_without_events_ratio{labels}"] == 0.25
    assert named(seen, "flow_last_run_state") == {f'{RUN_LABELS},state="Completed",timeframe="1h"': 1}
    assert named(seen, "flow_last_run_outcomes") == {
        f'{RUN_LABELS},outcome="{outcome}",timeframe="1h"': count for outcome, count in RUN.counts.items()
    }


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"succeeded_at": None}, "flow_last_success_timestamp_seconds"),
        ({"without_events": None}, "flow_last_run_without_events_ratio"),
        ({"counts": {"failed": 6}}, "flow_last_run_without_events_ratio"),
    ],
)
def test_what_is_unknown_has_no_series(changed: dict[str, Any], name: str) -> None:
    seen = series(replace(STATE, runs=[replace(RUN, **changed)]))
    assert named(seen, name) == {}
    assert len(named(seen, "flow_last_run_state")) == 1


def test_a_symbol_has_its_last_success_and_the_reach_of_its_candles() -> None:
    seen = series(STATE)
    succeeded = named(seen, "symbol_last_success_timestamp_seconds")
    assert succeeded == {
        'asset_class="crypto",symbol="BTC-USD",timeframe="1h"': (NOW - HOUR).timestamp(),
        'asset_class="crypto",symbol="ETH-USD",timeframe="1h"': (NOW - 9 * HOUR).timestamp(),
    }
    newest = named(seen, "symbol_newest_candle_timestamp_seconds")
    assert newest['asset_class="fx",symbol="EURUSD",timeframe="1h"'] == EURUSD.opened_at.timestamp()
    assert sorted(named(seen, "symbol_candles_behind").values()) == [0, 0, 3]


def test_asset_classes_show_the_worst_of_their_symbols() -> None:
    seen = series(STATE)
    crypto, fx = 'asset_class="crypto",timeframe="1h"', 'asset_class="fx",timeframe="1h"'
    assert named(seen, "symbols") == {crypto: 2, fx: 1}
    oldest = named(seen, "symbols_oldest_success_timestamp_seconds")
    assert oldest == {crypto: (NOW - 9 * HOUR).timestamp()}
    assert named(seen, "symbols_without_events") == {crypto: 1}
    assert named(seen, "symbols_candles_behind_max") == {crypto: 3, fx: 0}


def test_with_more_symbols_than_the_limit_only_asset_classes_have_series() -> None:
    daily = replace(EURUSD, timeframe="1d")
    state = replace(STATE, candles=[*STATE.candles, daily])
    seen = series(state, symbols=2)
    newest = named(seen, "symbol_newest_candle_timestamp_seconds")
    assert list(newest) == ['asset_class="fx",symbol="EURUSD",timeframe="1d"']
    assert sum(named(seen, "symbols").values()) == 4
    assert named(series(state, symbols=0), "symbol_newest_candle_timestamp_seconds") == {}


@pytest.mark.parametrize(
    ("calendar", "opened", "now", "behind"),
    [
        ("24/7", "2024-06-12T13:00", NOW, 0),  # the hour of 14:00 is still open
        ("24/7", "2024-06-12T12:00", NOW, 1),
        ("24/7", "2024-06-12T14:00", NOW, 0),
        ("XNYS", "2024-06-07T19:30", NOW.replace(day=9), 0),  # a Sunday
        ("XNYS", "2024-06-07T19:00", NOW.replace(day=9), 0),  # a feed on the clock hour
        ("XNYS", "2024-06-07T18:30", NOW.replace(day=9), 1),
        ("MOON", "2024-06-07T18:30", NOW, None),
    ],
)
def test_candles_are_counted_by_the_trading_calendar(
    calendar: str, opened: str, now: datetime, behind: int | None
) -> None:
    candle = NewestCandle("1h", "X", "equity", calendar, datetime.fromisoformat(f"{opened}+00:00"))
    text = flow_exposition(FlowState(candles=[candle]), 1, now).decode()
    expected = {} if behind is None else {'asset_class="equity",symbol="X",timeframe="1h"': behind}
    assert named(series_of(text), "symbol_candles_behind") == expected
    assert len(named(series_of(text), "symbol_newest_candle_timestamp_seconds")) == 1


def test_coverage_of_an_envelope_without_closes_has_no_series() -> None:
    seen = named(series(STATE), "recent_coverage_ratio")
    assert seen == {
        'asset_class="crypto",envelope="raw",model="base",timeframe="1h"': 0.75,
        'asset_class="fx",envelope="raw",model="base",timeframe="1h"': 0.4,
        'asset_class="fx",envelope="calibrated",model="base",timeframe="1h"': 0.8,
    }
    assert sum(named(series(STATE), "recent_coverage_closes").values()) == 220


def test_without_a_database_the_metrics_say_so(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRONOS_DATA_DIR", "/nonexistent")
    with ready_client(tiny_bundle) as client:
        answer = client.get("/metrics/flows")
    assert (answer.status_code, series_of(answer.text)) == (200, {"flow_metrics_up": 0})
    assert answer.headers["content-type"].startswith("text/plain; version=")


@pytest.fixture
def recorded(database: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """A database with a row for each metric, an inactive symbol and one without candles."""
    for symbol, active in (("BTC-USD", True), ("ETH-USD", False), ("NO-CANDLES", True)):
        instrument = Instrument(symbol, "crypto", "24/7")
        database.execute(load("upsert_instruments"), {**vars(instrument), "active": active})
    for symbol in ("BTC-USD", "ETH-USD"):
        for hours in range(3):
            opened = NOW.replace(minute=0) - hours * HOUR
            database.execute("INSERT INTO ohlcv_1h VALUES (%s, %s, 1, 1, 1, 1)", (symbol, opened))
        database.execute("INSERT INTO symbol_runs VALUES ('1h', %s, %s, false)", (symbol, NOW))
    database.execute("INSERT INTO ohlcv_1h VALUES ('BTC-USD', 'infinity', 1, 1, 1, 1)")
    database.execute(load("upsert_flow_run"), vars(RUN) | {"counts": Jsonb(dict(RUN.counts))})
    database.execute(
        "INSERT INTO recent_coverage VALUES ('1h', 'crypto', 'base', %s, 200, 150, 0, 0)", (NOW,)
    )
    return database


def test_the_route_serves_what_the_database_holds_and_keeps_it_for_a_while(
    recorded: psycopg.Connection[Any], database_url: str, tiny_bundle: Path
) -> None:
    with ready_client(tiny_bundle, database_url=database_url) as client:
        seen = series_of(client.get("/metrics/flows").text)
        recorded.execute("DELETE FROM flow_runs")
        again = series_of(client.get("/metrics/flows").text)
    symbol = 'asset_class="crypto",symbol="BTC-USD",timeframe="1h"'
    assert seen["flow_metrics_up"] == 1
    assert named(seen, "symbol_newest_candle_timestamp_seconds") == {
        symbol: NOW.replace(minute=0).timestamp()
    }
    assert named(seen, "symbol_last_success_timestamp_seconds") == {symbol: NOW.timestamp()}
    assert named(seen, "symbols_without_events") == {'asset_class="crypto",timeframe="1h"': 1}
    assert sum(named(seen, "flow_last_run_outcomes").values()) == sum(RUN.counts.values())
    assert list(named(seen, "recent_coverage_ratio").values()) == [0.75]
    assert again == seen


def test_the_servers_role_may_read_the_metrics(
    recorded: psycopg.Connection[Any], database_url: str, tiny_bundle: Path
) -> None:
    """Without the privileges, as after an upgrade, it still serves the metrics of the candles."""
    roles = resources.files("sql").joinpath("roles", "server.sql").read_text(encoding="utf-8")
    recorded.execute(roles)
    recorded.execute("ALTER ROLE kronos_server PASSWORD 'secret'")
    url = re.sub(r"//[^@/]*@?", "//kronos_server:secret@", database_url, count=1)
    for statement, up in (("SELECT 1", 1), ("REVOKE ALL ON flow_runs FROM kronos_server", 0)):
        recorded.execute(statement)
        with ready_client(tiny_bundle, database_url=url) as client:
            seen = series_of(client.get("/metrics/flows").text)
        assert seen["flow_metrics_up"] == up
        assert len(named(seen, "symbol_newest_candle_timestamp_seconds")) == 1
        assert bool(named(seen, "flow_last_run_state")) == bool(up)
