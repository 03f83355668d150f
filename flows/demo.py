"""Every step once, from a checkpoint to stored forecasts: export, database, server, candles, flow, a table.

``python -m flows.demo [--data DIR]`` works in the folder ``.data/demo``, which it empties first, and stops
the processes that it started. Bundle and database stay there, so that the server can show them afterwards.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
from flows.forecasting.candles import read_candles
from flows.forecasting.comparison import compare, comparison_lines, comparison_table
from flows.forecasting.run_summary import event_words, price
from flows.forecasting.universe import known_instruments
from flows.generated.market import generate_market
from flows.load import load_calendar, load_candles
from inference_server.client import Client
from market.instruments import Instrument
from market.timeframes import TIMEFRAMES
from market.warning_codes import code_of
from sql.connect import connect
from sql.embedded import server as embedded
from sql.loading import load
from sql.migrate import migrate

CHECKPOINT = Path(__file__).resolve().parents[1] / "export" / "kronos_demo"
FOLDER = Path(".data") / "demo"
BUNDLE = "kronos-demo"
FILES = ("candles_1h", "candles_1d", "economic_calendar")

AHEAD = timedelta(hours=6)
"""How long before a rate decision the forecasts are made: near enough for the event to be active."""

HORIZON = 24
"""Candles ahead: the furthest step that the checkpoint's model card has figures for."""

MOST_SYMBOLS = 12
TRAINED_ON = ("fx", "metal", "crypto")
"""Asset classes of the checkpoint's training data, those with the most candles first."""

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
            status = demonstrate(data, FOLDER, started)
    except KeyboardInterrupt:
        console.print("interrupted: every process that the demo started is stopped")
        return 130
    except DemoError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    console.print(how_to_see_the_page(FOLDER), markup=False, soft_wrap=True)  # commands stay whole
    return status


def demonstrate(data: Path | None, folder: Path, started: ExitStack) -> int:
    """Go through all the steps; the processes to stop afterwards are put on `started`.

    Parameters
    ----------
    data
        Folder with the market's files; None for a generated market.
    folder
        Where bundle, database and logs go; whatever an earlier demo left there is deleted.
    """
    frames = read_market(data)
    empty(folder)
    isolate(folder)
    with step("Exporting kronos-demo, a small demo model, not suitable for trading"):
        bundle = export_demo_model(folder)
    with step("Starting Postgres"):
        started.callback(embedded.stop, folder / "postgres")
        os.environ["DATABASE_URL"] = embedded.start(folder / "postgres")
    as_of = instant_before_a_decision(frames)
    with step("Loading candles and releases"), connect(autocommit=True) as connection:
        fill_database(connection, frames)
        symbols, count = symbols_to_forecast(connection, as_of)
    with step("Starting the inference server"):
        os.environ["KRONOS_SERVER"] = started.enter_context(local_server(bundle, folder / "server.log"))
    with step(
        f"Forecasting {len(symbols)} of {count} symbols from {as_of:%Y-%m-%d %H:%M} UTC, {HORIZON} hours"
    ):
        failures, codes = run_flow(symbols, as_of)
    with connect() as connection:
        console.print(forecast_table(connection))
        for line in warning_lines(codes):
            console.print(line, markup=False)
        show_what_events_change(connection)
    for failure in failures:
        console.print(failure, style="red", markup=False)
    return 1 if failures else 0


def empty(folder: Path) -> None:
    """Make the demo's folder anew: an earlier demo's Postgres is stopped and its data deleted."""
    postgres = folder / "postgres"
    if postgres.exists():
        embedded.stop(postgres)
        shutil.rmtree((postgres / "data").resolve(), ignore_errors=True)  # a link, where root made it
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    folder.chmod(0o711)  # as root, the account that runs Postgres passes through


def how_to_see_the_page(folder: Path) -> str:
    """Return what to type to look at the demo's forecasts in a browser."""
    python = Path(sys.executable)
    command = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else "python"
    return (
        f"To see these forecasts on the server's page, type\n\n"
        f"    export KRONOS_BUNDLE={folder / BUNDLE}\n"
        f"    export KRONOS_DATA_DIR={folder / 'postgres'}\n"
        f"    {command} -m inference_server\n\n"
        "and open http://127.0.0.1:8200/ in a browser."
    )


@contextmanager
def step(title: str) -> Iterator[None]:
    """Print what is being done, and how long it took."""
    since = time.monotonic()
    console.print(f"{title} …")
    yield
    console.print(f"  done in {time.monotonic() - since:.0f} s", style="green")


def isolate(folder: Path) -> None:
    """Keep Prefect, which this process has not imported yet, away from the user's profile and server."""
    for name in ("PREFECT_API_URL", "PREFECT_PROFILE"):
        os.environ.pop(name, None)
    os.environ["PREFECT_HOME"] = str(folder / "prefect")
    os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"  # `warning_lines` names the warnings


def read_market(data: Path | None) -> dict[str, pl.DataFrame]:
    """Return candles and releases by the names of `FILES`: those of a folder, or a generated market.

    Raises
    ------
    DemoError
        The folder has no hourly candles.
    """
    if data is None:
        console.print("The market is GENERATED: none of its prices is real.")
        market = generate_market()
        return dict(zip(FILES, (market.candles_1h, market.candles_1d, market.calendar), strict=True))
    found = [
        file
        for name in FILES
        for file in sorted(data.glob(f"{name}.*"))
        if file.suffix in (".parquet", ".csv")
    ]
    frames = {file.stem: read_file(file) for file in found}
    if "candles_1h" not in frames:
        raise DemoError(
            f"{data} has no candles_1h.parquet or candles_1h.csv: the demo's model was trained on hourly "
            "candles"
        )
    console.print(f"Candles and releases are those in {data}.")
    return frames


def export_demo_model(folder: Path) -> Path:
    """Export the checkpoint that comes with the product, by the command that users call."""
    bundle = folder / BUNDLE
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
    candles = frames["candles_1h"]
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
    """Return the different instants in a column, which is text where the file was CSV."""
    times = frame[column]
    if times.dtype == pl.String:
        times = times.str.to_datetime(time_zone="UTC")
    return times.unique().to_list()


def symbols_to_forecast(connection: psycopg.Connection[Any], as_of: datetime) -> tuple[list[str], int]:
    """Return the symbols to forecast, at most `MOST_SYMBOLS`, and how many have hourly candles.

    They are of the asset classes that the checkpoint was trained on, where there are any.
    """
    instruments = known_instruments(connection)
    candles = read_candles(connection, "1h", list(instruments), 1, as_of)
    known = [instruments[symbol] for symbol in candles["symbol"].unique().sort()]
    return chosen(known), len(known)


def chosen(instruments: Sequence[Instrument]) -> list[str]:
    """Return at most `MOST_SYMBOLS` symbols, in the order of `TRAINED_ON` and then by name."""
    trained = [each for each in instruments if each.asset_class in TRAINED_ON] or list(instruments)
    rank = {name: number for number, name in enumerate(TRAINED_ON)}
    trained.sort(key=lambda each: (rank.get(each.asset_class, len(rank)), each.symbol))
    return [each.symbol for each in trained[:MOST_SYMBOLS]]


def run_flow(symbols: list[str], as_of: datetime) -> tuple[list[str], list[str]]:
    """Run the flow in this process; return what failed, and the codes of the warnings of each forecast."""
    # Prefect reads its settings when it is imported, which must be after `isolate`.
    from flows.predict import predict_hourly
    from flows.runtime.commands import run_once

    state = run_once(predict_hourly, symbols=symbols, timeframe="1h", as_of=as_of, pred_len=HORIZON)
    if not state.is_completed():
        return [state.message or "the run failed"], []
    rows = (outcome.row for outcome in state.result())
    return [], [
        code for row in rows if row is not None for code in {code_of(text) for text in row.warnings or ()}
    ]


def warning_lines(codes: Sequence[str]) -> list[str]:
    """Return a line for each code of warnings, with the number of forecasts that have it."""
    return [
        f"warning {code} in {count} forecasts: see docs/warnings.md"
        for code, count in sorted(Counter(codes).items())
    ]


def show_what_events_change(connection: psycopg.Connection[Any]) -> None:
    """Print one forecast of the run with its events and without: the first that had any."""
    active = [row for row in stored_forecasts(connection) if row["event_context"] is not None]
    # The euro reacts to the dollar's releases, and trades around the clock on weekdays.
    active.sort(key=lambda row: row["symbol"] != "EURUSD")
    if active:
        with Client(os.environ["KRONOS_SERVER"]) as client:
            found = compare(connection, client, active[0]["symbol"], "1h")
        if found is not None:
            console.print(comparison_table(found))
            for line in comparison_lines(found):
                console.print(line)


def forecast_table(connection: psycopg.Connection[Any]) -> Table:
    """Return the stored hourly forecasts at their horizon, with the last candle that each was made from."""
    table = Table(title=f"Close {HORIZON} hours ahead, times in UTC", box=box.SIMPLE_HEAD, padding=0)
    for name in ("symbol", "last candle"):
        table.add_column(name, no_wrap=True)
    for name in ("last close", "p10", "p50", "p90"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("events")
    for row in stored_forecasts(connection):
        prices = (price(row[name]) for name in ("last_close", "p10", "p50", "p90"))
        last_candle = f"{row['as_of']:%m-%d %H:%M}"
        table.add_row(row["symbol"], last_candle, *prices, event_words(row["event_context"]))
    return table


def stored_forecasts(connection: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    """Return the newest hourly forecast of each symbol at its last step."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(load("forecast_horizons")).fetchall()
    return [row for row in rows if row["timeframe"] == "1h"]


if __name__ == "__main__":
    sys.exit(main())
