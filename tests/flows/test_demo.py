"""The demo: its instant, its table, and the whole of it with a bundle that is there already."""

import os
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


def test_a_folder_without_candles_is_refused(tmp_path: Path) -> None:
    with pytest.raises(demo.DemoError, match="neither candles_1h nor candles_1d"):
        demo.read_market(tmp_path)


def test_a_step_that_fails_shows_what_it_printed() -> None:
    with pytest.raises(demo.DemoError, match=r"python -m flows\.load failed:\n(.|\n)*required: WHAT"):
        demo.run_module("flows.load")


def test_the_table_shows_how_old_the_candles_are(database: psycopg.Connection[Any]) -> None:
    row = PredictionRow(
        symbol="QQQ",
        timeframe="1d",
        as_of=datetime(2024, 8, 30, tzinfo=UTC),
        model_name="tiny",
        model_version="abc",
        pred_len=2,
        timestamps=[datetime(2024, 9, 3, tzinfo=UTC), datetime(2024, 9, 4, tzinfo=UTC)],
        p10=[1.0, 470.0],
        p50=[1.0, 476.5],
        p90=[1.0, 480.25],
        seed=1,
        event_context={"events_active": ["nfp"], "surprise_directions": {}},
    )
    database.execute("INSERT INTO ohlcv_1d VALUES ('QQQ', '2024-08-30Z', 470, 480, 460, 476.39, 1, 1)")
    upsert_prediction(database, row)
    console = Console(width=80)
    with console.capture() as printed:
        console.print(demo.forecast_table(database))
    assert "QQQ 1d 2024-08-30 476.39 470.00 476.50 480.25 nfp" in " ".join(printed.get().split())


@pytest.mark.usefixtures("prefect_server")
def test_forecasts_every_symbol_of_a_folder_and_stops_what_it_started(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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
    monkeypatch.setattr(demo, "console", Console(width=100))
    with ExitStack() as started:
        assert demo.demonstrate(tmp_path, started) == 0
    printed = capsys.readouterr().out
    assert f"as of {END:%Y-%m-%d %H:%M} UTC" in printed
    lines = [line.split()[:2] for line in printed.splitlines() if line.strip().startswith(("EURUSD", "SPY"))]
    assert lines == [["EURUSD", "1d"], ["EURUSD", "1h"], ["SPY", "1d"], ["SPY", "1h"]]
    assert "With its events and without, from one seed: EURUSD 1h" in printed
    assert printed.count("fomc") == 5
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(os.environ["DATABASE_URL"], connect_timeout=2)
