"""The demo from its market to the printed tables, with a tiny bundle in place of the exported one."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import polars as pl
import psycopg
import pytest
from rich.console import Console

from flows import demo
from flows.generated.market import END, generate_market
from tests.helpers.database_folders import database_folder


def test_a_folder_without_hourly_candles_is_refused(tmp_path: Path) -> None:
    with pytest.raises(demo.DemoError, match="no candles_1h"):
        demo.read_market(tmp_path)


def test_a_step_that_fails_shows_what_it_printed() -> None:
    with pytest.raises(demo.DemoError, match=r"python -m flows\.load failed:\n(.|\n)*required: WHAT"):
        demo.run_command([sys.executable, "-m", "flows.load"])


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder below one that every account can enter, which pytest's own is not."""
    with database_folder("test-demo") as parent:
        yield parent / "demo"


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
    monkeypatch.setattr(demo, "export_demo_model", lambda bundle: tiny_bundle)
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
