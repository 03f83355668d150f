"""Everything once, from a checkpoint to stored forecasts: export, database, server, candles, flow, a table.

``python -m flows.demo [--data DIR]`` keeps to folders and processes of its own and stops what it started.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
from psycopg.rows import dict_row
from rich import box
from rich.console import Console
from rich.table import Table

from flows.backtest.local_server import local_server
from flows.events import load_config
from flows.events.titles import normal_title
from flows.files.frames import read_file
from flows.forecasting.comparison import compare, comparison_table
from flows.forecasting.run_summary import event_words, price
from flows.generated.market import generate_market
from flows.load import load_calendar, load_candles
from inference_server.client import Client
from market.timeframes import TIMEFRAMES
from sql.connect import connect
from sql.embedded import server as embedded
from sql.loading import load
from sql.migrate import migrate

CHECKPOINT = Path(__file__).resolve().parents[1] / "export" / "kronos_demo"
FILES = ("candles_1h", "candles_1d", "economic_calendar")

AHEAD = timedelta(hours=6)
"""How long before a rate decision the demo looks from: near enough for the event to be active."""

console = Console(highlight=False)


class DemoError(RuntimeError):
    """The demo can't go on; the message says why."""


def main() -> int:
    """Run the demo; the exit status is 0 if every symbol was forecast."""
    parser = argparse.ArgumentParser(prog="python -m flows.demo", description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        help=f"folder with {', '.join(FILES)} as .parquet or .csv; a generated market unless given",
    )
    data: Path | None = parser.parse_args().data
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with ExitStack() as started:
            return demonstrate(data, started)
    except KeyboardInterrupt:
        console.print("interrupted: all that was started is stopped")
        return 130
    except DemoError as error:
        console.print(str(error), style="red", markup=False)
        return 1


def demonstrate(data: Path | None, started: ExitStack) -> int:
    """Go through all the steps; what has to be stopped afterwards is put on `started`."""
    folder = Path(started.enter_context(tempfile.TemporaryDirectory(prefix="kronos-demo-")))
    folder.chmod(0o711)  # as root, the account that runs Postgres passes through
    isolate(folder)
    frames = read_market(data)
    with step("Exporting kronos-demo, a small trained checkpoint: it shows the way and is no trading model"):
        bundle = export_demo_model(folder)
    with step("Starting Postgres"):
        started.callback(embedded.stop, folder / "postgres")
        os.environ["DATABASE_URL"] = embedded.start(folder / "postgres")
    with step("Loading candles and releases"), connect(autocommit=True) as connection:
        fill_database(connection, frames)
    with step("Starting the inference server"):
        os.environ["KRONOS_SERVER"] = started.enter_context(local_server(bundle, folder / "server.log"))
    as_of = instant_before_a_decision(frames)
    failures = []
    for timeframe in TIMEFRAMES:
        if f"candles_{timeframe}" in frames:
            with step(f"Forecasting every symbol with {timeframe} candles as of {as_of:%Y-%m-%d %H:%M} UTC"):
                failures += run_flow(timeframe, as_of)
    with connect() as connection:
        console.print(forecast_table(connection))
        show_what_events_change(connection)
    for failure in failures:
        console.print(failure, style="red", markup=False)
    return 1 if failures else 0


@contextmanager
def step(title: str) -> Iterator[None]:
    """Say what is being done, and how long it took."""
    since = time.monotonic()
    console.print(f"{title} …")
    yield
    console.print(f"  done in {time.monotonic() - since:.0f} s", style="green")


def isolate(folder: Path) -> None:
    """Keep Prefect, which this process has not imported yet, away from the user's profile and server."""
    for name in ("PREFECT_API_URL", "PREFECT_PROFILE"):
        os.environ.pop(name, None)
    os.environ["PREFECT_HOME"] = str(folder / "prefect")
    os.environ["PREFECT_LOGGING_LEVEL"] = "WARNING"


def read_market(data: Path | None) -> dict[str, pl.DataFrame]:
    """Return candles and releases by the names of `FILES`: those of a folder, or a generated market.

    Raises
    ------
    DemoError
        The folder has no candles.
    """
    if data is None:
        console.print("No real candles at hand: this is a GENERATED market, none of its prices is real.")
        market = generate_market()
        return dict(zip(FILES, (market.candles_1h, market.candles_1d, market.calendar), strict=True))
    found = [
        file
        for name in FILES
        for file in sorted(data.glob(f"{name}.*"))
        if file.suffix in (".parquet", ".csv")
    ]
    frames = {file.stem: read_file(file) for file in found}
    if not {"candles_1h", "candles_1d"} & set(frames):
        raise DemoError(f"{data} has neither candles_1h nor candles_1d as .parquet or .csv")
    console.print(f"Candles and releases are those in {data}.")
    return frames


def export_demo_model(folder: Path) -> Path:
    """Export the checkpoint that comes with the product, by the command that users call."""
    bundle = folder / "kronos-demo"
    run_module(
        "export",
        *("--model", str(CHECKPOINT / "model")),
        *("--tokenizer", str(CHECKPOINT / "tokenizer")),
        *("--events", str(CHECKPOINT / "events.safetensors")),
        *("--adapter", str(CHECKPOINT / "adapter")),
        *("--out", str(bundle)),
    )
    return bundle


def run_module(name: str, *arguments: str) -> None:
    """Run ``python -m name`` to its end; its output is shown only if it fails.

    Raises
    ------
    DemoError
        It failed.
    """
    command = [sys.executable, "-m", name, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise DemoError(f"python -m {name} failed:\n{done.stdout}")


def fill_database(connection: psycopg.Connection[Any], frames: Mapping[str, pl.DataFrame]) -> None:
    """Make the tables and load what there is."""
    migrate(connection)
    for timeframe in TIMEFRAMES:
        if f"candles_{timeframe}" in frames:
            load_candles(connection, frames[f"candles_{timeframe}"], timeframe)
    if "economic_calendar" in frames:
        for note in load_calendar(connection, frames["economic_calendar"]).notes:
            print(f"economic_calendar: {note}")


def instant_before_a_decision(frames: Mapping[str, pl.DataFrame]) -> datetime:
    """Return a few hours before the last FOMC decision that the candles reach, else when they end."""
    candles = frames.get("candles_1h", frames.get("candles_1d"))
    assert candles is not None  # `read_market` refuses a folder without
    end = max(instants(candles, "ts" if "ts" in candles.columns else "timestamp")) + timedelta(days=1)
    if "economic_calendar" not in frames:
        return end
    decisions = fomc_decisions(frames["economic_calendar"])
    reached = [decision for decision in instants(decisions, "event_time") if decision <= end]
    return max(reached) - AHEAD if reached else end


def fomc_decisions(calendar: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of a calendar, as a file holds them, that are decisions of the Federal Reserve."""
    config = load_config()
    fomc = config.releases["fomc"]
    titles = {normal_title(name) for title in fomc.titles for name in config.names_of(fomc.currency, title)}
    found = pl.Series([normal_title(title or "") in titles for title in calendar["title"]], dtype=pl.Boolean)
    if "currency" in calendar.columns:  # other banks' decisions may have the same title
        found &= calendar["currency"].str.to_uppercase() == fomc.currency
    return calendar.filter(found)


def instants(frame: pl.DataFrame, column: str) -> list[datetime]:
    """Return the different instants in a column, which a CSV file brings as text."""
    times = frame[column]
    if times.dtype == pl.String:
        times = times.str.to_datetime(time_zone="UTC")
    return times.unique().to_list()


def run_flow(timeframe: str, as_of: datetime) -> list[str]:
    """Run the flow in this process and return what failed."""
    # Prefect reads its settings when it is imported, which must be after `isolate`.
    from flows.predict import run_once

    state = run_once(timeframe=timeframe, as_of=as_of)
    return [] if state.is_completed() else [state.message or "the run failed"]


def show_what_events_change(connection: psycopg.Connection[Any]) -> None:
    """Print one forecast of the run with its events and without: the first hourly one that had any."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(load("forecast_horizons")).fetchall()
    active = [row for row in rows if row["timeframe"] == "1h" and row["event_context"] is not None]
    # The euro reacts to the dollar's releases, and trades around the clock on weekdays.
    active.sort(key=lambda row: row["symbol"] != "EURUSD")
    if active:
        with Client(os.environ["KRONOS_SERVER"]) as client:
            found = compare(connection, client, active[0]["symbol"], "1h")
        if found is not None:
            console.print(comparison_table(found))


def forecast_table(connection: psycopg.Connection[Any]) -> Table:
    """Return the stored forecasts at their horizon, with the last candle that each was made from."""
    table = Table(title="Close after 120 candles", box=box.SIMPLE_HEAD, padding=0)
    for name in ("symbol", "", "last candle, UTC"):
        table.add_column(name, no_wrap=True)
    for name in ("last close", "p10", "p50", "p90"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("events")
    with connection.cursor(row_factory=dict_row) as cursor:
        for row in cursor.execute(load("forecast_horizons")):
            last_candle = (
                f"{row['as_of']:%Y-%m-%d}" if row["timeframe"] == "1d" else f"{row['as_of']:%Y-%m-%d %H:%M}"
            )
            prices = (price(row[name]) for name in ("last_close", "p10", "p50", "p90"))
            table.add_row(
                row["symbol"], row["timeframe"], last_candle, *prices, event_words(row["event_context"])
            )
    return table


if __name__ == "__main__":
    sys.exit(main())
