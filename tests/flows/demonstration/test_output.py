"""The demo's table, counts of warnings and commands."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from rich.console import Console

from flows.demonstration.output import forecast_table, page_commands, stored_forecasts, warning_lines
from flows.forecasting.store import PredictionRow, upsert_prediction


def test_warnings_are_counted_by_code() -> None:
    assert warning_lines(["candles-late", "few-paths", "candles-late"]) == [
        "warning candles-late in 2 forecasts: see docs/warnings.md",
        "warning few-paths in 1 forecasts: see docs/warnings.md",
    ]


def test_the_page_is_two_settings_and_one_command_away(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = Path(".data/demo/kronos-demo"), Path(".data/demo/postgres")
    monkeypatch.setattr(sys, "executable", str(Path.cwd() / ".venv/bin/python"))
    text = page_commands(*paths)
    assert "export KRONOS_BUNDLE=.data/demo/kronos-demo\n" in text
    assert "export KRONOS_DATA_DIR=.data/demo/postgres\n" in text
    assert "    .venv/bin/python -m inference_server\n" in text
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    assert "    python -m inference_server\n" in page_commands(*paths)


def row(symbol: str, timeframe: str, close: float) -> PredictionRow:
    return PredictionRow(
        symbol=symbol,
        timeframe=timeframe,
        as_of=datetime(2025, 6, 18, 11, tzinfo=UTC),
        model_name="tiny",
        model_version="abc",
        pred_len=1,
        timestamps=[datetime(2025, 6, 19, 11, tzinfo=UTC)],
        p10=[close * 0.9],
        p50=[close],
        p90=[close * 1.1],
        seed=1,
        event_context={"events_active": ["fomc", "rate_decision"], "surprise_directions": {}},
    )


def test_the_table_holds_hourly_forecasts_in_80_columns(database: psycopg.Connection[Any]) -> None:
    closes = {"BTC-USD": 181_198.0, "EURUSD": 1.1408}
    for symbol, close in closes.items():
        candle = (symbol, "2025-06-18T11:00Z", close, close, close, close)
        database.execute("INSERT INTO ohlcv_1h VALUES (%s, %s, %s, %s, %s, %s, 1, 1)", candle)
        upsert_prediction(database, row(symbol, "1h", close))
    upsert_prediction(database, row("SPY", "1d", 590.0))
    console = Console(width=80)
    with console.capture() as printed:
        console.print(forecast_table(stored_forecasts(database), 24))
    lines = printed.get().splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in printed.get()
    assert [line.split() for line in lines if "06-18" in line] == [
        ["BTC-USD", "06-18", "11:00", "181,198", "163,078", "181,198", "199,318", "fomc,", "rate_decision"],
        ["EURUSD", "06-18", "11:00", "1.1408", "1.0267", "1.1408", "1.2549", "fomc,", "rate_decision"],
    ]
