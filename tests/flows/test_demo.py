"""The demo: its instant, its table, and the whole of it with a bundle that is there already."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
from rich.console import Console

from flows import demo
from flows.forecasting.store import PredictionRow, upsert_prediction
from flows.generated.market import END, generate_market
from market.instruments import Instrument

DECISION = datetime(2024, 12, 18, 19, tzinfo=UTC)


def frames(last: datetime, *decisions: datetime) -> dict[str, pl.DataFrame]:
    found = {"candles_1h": pl.DataFrame({"timestamp": [last]})}
    if decisions:
        titles = ["Federal Funds Rate"] * len(decisions)
        found["economic_calendar"] = pl.DataFrame({"event_time": decisions, "title": titles})
    return found


@pytest.mark.parametrize(
    ("market", "expected"),
    [
        (frames(datetime(2024, 12, 31, 23, tzinfo=UTC), DECISION), "2024-12-18T13:00"),
        (frames(datetime(2024, 12, 18, 12, tzinfo=UTC), DECISION), "2024-12-18T13:00"),
        (frames(datetime(2024, 12, 1, 12, tzinfo=UTC), DECISION), "2024-12-02T12:00"),
        (frames(datetime(2024, 12, 1, 12, tzinfo=UTC)), "2024-12-02T12:00"),
    ],
    ids=["within the candles", "a day ahead", "beyond the candles", "no calendar"],
)
def test_looks_from_before_a_decision(market: dict[str, pl.DataFrame], expected: str) -> None:
    assert demo.instant_before_a_decision(market) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize("title", ["Fed Interest Rate Decision (Dec)", "FEDERAL FUNDS RATE"])
def test_knows_a_decision_by_any_providers_title(title: str) -> None:
    market = frames(datetime(2024, 12, 31, 23, tzinfo=UTC), DECISION)
    calendar = market["economic_calendar"].with_columns(title=pl.lit(title), currency=pl.lit("usd"))
    assert demo.instant_before_a_decision(market | {"economic_calendar": calendar}) == DECISION - timedelta(
        hours=6
    )


def test_reads_times_of_a_csv_file() -> None:
    frame = pl.DataFrame({"ts": ["2024-12-01T12:00:00Z"]})
    assert demo.instants(frame, "ts") == [datetime(2024, 12, 1, 12, tzinfo=UTC)]


def test_a_folder_without_hourly_candles_is_refused(tmp_path: Path) -> None:
    with pytest.raises(demo.DemoError, match="no candles_1h"):
        demo.read_market(tmp_path)


def test_a_step_that_fails_shows_what_it_printed() -> None:
    with pytest.raises(demo.DemoError, match=r"python -m flows\.load failed:\n(.|\n)*required: WHAT"):
        demo.run_module("flows.load")


def instrument(symbol: str, asset_class: str) -> Instrument:
    return Instrument(symbol, asset_class, "24/7")


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (["equity", "crypto", "fx", "metal"], ["s2", "s3", "s1"]),
        (["equity", "index"], ["s0", "s1"]),
        (["fx"] * 30, [f"s{number}" for number in (0, 1, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19)]),
    ],
    ids=["those trained on first", "others where there are no such", "a dozen"],
)
def test_forecasts_what_the_checkpoint_is_good_for(classes: list[str], expected: list[str]) -> None:
    known = [instrument(f"s{number}", name) for number, name in enumerate(classes)]
    assert demo.chosen(known) == expected


def test_warnings_are_counted_by_code() -> None:
    assert demo.warning_lines(["candles-late", "few-paths", "candles-late"]) == [
        "warning candles-late in 2 forecasts: see docs/warnings.md",
        "warning few-paths in 1 forecasts: see docs/warnings.md",
    ]


def test_the_page_is_two_settings_and_one_command_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(Path.cwd() / ".venv/bin/python"))
    text = demo.how_to_see_the_page(demo.FOLDER)
    assert "export KRONOS_BUNDLE=.data/demo/kronos-demo\n" in text
    assert "export KRONOS_DATA_DIR=.data/demo/postgres\n" in text
    assert "    .venv/bin/python -m inference_server\n" in text
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    assert "    python -m inference_server\n" in demo.how_to_see_the_page(demo.FOLDER)


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
        console.print(demo.forecast_table(database))
    lines = printed.get().splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in printed.get()
    assert [line.split() for line in lines if "06-18" in line] == [
        ["BTC-USD", "06-18", "11:00", "181,198", "163,078", "181,198", "199,318", "fomc,", "rate_decision"],
        ["EURUSD", "06-18", "11:00", "1.1408", "1.0267", "1.1408", "1.2549", "fomc,", "rate_decision"],
    ]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder below one that every account can enter, which pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="kronos-demo-") as name:
        Path(name).chmod(0o711)
        yield Path(name) / "demo"


@pytest.mark.usefixtures("prefect_server")
def test_forecasts_hourly_candles_and_stops_what_it_started(
    tiny_bundle: Path,
    tmp_path: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    market = generate_market(days=150, hours=200)
    wanted = pl.col("symbol").is_in(["EURUSD", "SPY"])
    market.candles_1h.filter(wanted).write_parquet(tmp_path / "candles_1h.parquet")
    market.candles_1d.filter(wanted).write_csv(tmp_path / "candles_1d.csv")
    market.calendar.write_parquet(tmp_path / "economic_calendar.parquet")
    for name in ("DATABASE_URL", "KRONOS_SERVER"):
        monkeypatch.setenv(name, "restored after the test")
    monkeypatch.setattr(demo, "isolate", lambda folder: None)
    monkeypatch.setattr(demo, "export_demo_model", lambda folder: tiny_bundle)
    monkeypatch.setattr(demo, "console", Console(width=80))
    folder.mkdir()
    (folder / "server.log").write_text("of an earlier demo")
    with ExitStack() as started:
        assert demo.demonstrate(tmp_path, folder, started) == 0
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if "|" not in line]  # the flow's own log has bars
    assert max(map(len, lines)) <= 80
    assert f"Forecasting 1 of 2 symbols from {END:%Y-%m-%d %H:%M} UTC" in printed
    assert [line.split()[:2] for line in lines if line.startswith(" EURUSD")] == [["EURUSD", f"{END:%m-%d}"]]
    assert "SPY" not in printed
    assert "With its events and without, from one seed: EURUSD 1h" in printed
    assert "at the candle of FOMC" in printed
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(os.environ["DATABASE_URL"], connect_timeout=2)
    demo.empty(folder)
    assert list(folder.iterdir()) == []
