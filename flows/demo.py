"""Runs every step from a checkpoint to stored forecasts: export, database, server, candles, flow, tables.

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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import polars as pl
import psycopg
from rich.console import Console

from flows.demonstration.choices import instant_before_a_decision, symbols_to_forecast
from flows.demonstration.comparison import compare, comparison_lines, event_comparison_table
from flows.demonstration.demo_model import export_command
from flows.demonstration.output import forecast_table, page_commands, stored_forecasts, warning_lines
from flows.files.frames import TableError
from flows.files.market_folder import FILES_SHOWN, unchecked_frames
from flows.generated.market import generate_market
from flows.loading.market import load_market
from flows.runtime.local_server import local_server
from inference_server.client import Client
from market.warning_codes import code_of
from sql.connect import connect
from sql.embedded import server as embedded
from sql.migrate import migrate

FOLDER: Final = Path(".data") / "demo"
BUNDLE: Final = "kronos-demo"
POSTGRES: Final = "postgres"

HORIZON: Final = 24
"""Candles ahead: the furthest step that the checkpoint's model card has figures for."""

console = Console(highlight=False)


class DemoError(RuntimeError):
    """The demo can't go on; the message says why."""


def main(arguments: list[str] | None = None, prog: str = "python -m flows.demo") -> int:
    """Run the demo; the exit status is 0 if every symbol was forecast."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        help=f"folder with {FILES_SHOWN} as .parquet or .csv; a generated market unless given",
    )
    data: Path | None = parser.parse_args(arguments).data
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with ExitStack() as started:
            status = demonstrate(data, FOLDER, started)
    except KeyboardInterrupt:
        console.print("interrupted: every process that the demo started is stopped")
        return 130
    except (DemoError, TableError) as error:
        console.print(str(error), style="red", markup=False)
        return 1
    # Soft wrap keeps each command on one line.
    console.print(page_commands(FOLDER / BUNDLE, FOLDER / POSTGRES), markup=False, soft_wrap=True)
    return status


def demonstrate(data: Path | None, folder: Path, started: ExitStack) -> int:
    """Run all steps and return the exit status; `started` stops the processes afterwards.

    Parameters
    ----------
    data
        Folder with the market's files; None for a generated market.
    folder
        Folder for bundle, database and logs; the files of an earlier demo in it are deleted.
    """
    frames = read_market(data)
    empty(folder)
    isolate(folder)
    with step("Exporting kronos-demo, a small demo model, not suitable for trading"):
        bundle = export_demo_model(folder / BUNDLE)
    with step("Starting Postgres"):
        started.callback(embedded.stop, folder / POSTGRES)
        database_url = embedded.start(folder / POSTGRES)
    as_of = instant_before_a_decision(frames)
    with step("Loading candles and releases"), connect(database_url, autocommit=True) as connection:
        fill_database(connection, frames)
        symbols, count = symbols_to_forecast(connection, as_of)
    os.environ["DATABASE_URL"] = database_url  # for the server and the flow
    with step("Starting the inference server"):
        address = started.enter_context(local_server(bundle, folder / "server.log"))
    os.environ.pop("KRONOS_SERVERS", None)
    os.environ["KRONOS_SERVER"] = address  # for the flow
    with step(
        f"Forecasting {len(symbols)} of {count} symbols from {as_of:%Y-%m-%d %H:%M} UTC, {HORIZON} hours"
    ):
        failures, codes = run_flow(symbols, as_of)
    with connect(database_url) as connection, Client(address) as client:
        forecasts = stored_forecasts(connection)
        console.print(forecast_table(forecasts, HORIZON))
        for line in warning_lines(codes):
            console.print(line, markup=False)
        show_what_events_change(connection, client, forecasts)
    for failure in failures:
        console.print(failure, style="red", markup=False)
    return 1 if failures else 0


def read_market(data: Path | None) -> dict[str, pl.DataFrame]:
    """Return candles and releases by the names of their files: those of a folder, or a generated market.

    Raises
    ------
    DemoError
        The folder has no hourly candles.
    TableError
        A file can't be read.
    """
    if data is None:
        console.print("The market is GENERATED: none of its prices is real.")
        return generate_market().frames()
    frames = unchecked_frames(data)
    if "candles_1h" not in frames:
        raise DemoError(
            f"{data} has no candles_1h.parquet or candles_1h.csv: the demo's model was trained on hourly "
            "candles"
        )
    console.print(f"Candles and releases are those in {data}.")
    return frames


def empty(folder: Path) -> None:
    """Make the demo's folder anew: stop an earlier demo's Postgres and delete its data."""
    postgres = folder / POSTGRES
    if postgres.exists():
        embedded.stop(postgres)
        shutil.rmtree((postgres / "data").resolve(), ignore_errors=True)  # a link, where root made it
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    folder.chmod(0o711)  # lets the account that runs Postgres pass through, where root runs the demo


def isolate(folder: Path) -> None:
    """Keep Prefect, which this process has not imported yet, away from the user's profile and server."""
    for name in ("PREFECT_API_URL", "PREFECT_PROFILE"):
        os.environ.pop(name, None)
    os.environ["PREFECT_HOME"] = str(folder / "prefect")
    os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"  # `warning_lines` names the warnings


@contextmanager
def step(title: str) -> Iterator[None]:
    """Print the title of a step, and the time that it took."""
    start = time.monotonic()
    console.print(f"{title} …")
    yield
    console.print(f"  done in {time.monotonic() - start:.0f} s", style="green")


def export_demo_model(bundle: Path) -> Path:
    """Export the checkpoint that comes with the product; return the bundle."""
    run_command(export_command(bundle))
    return bundle


def run_command(command: Sequence[str]) -> None:
    """Run ``python -m …`` to its end; its output is shown only if it fails.

    Raises
    ------
    DemoError
        It failed.
    """
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if ended.returncode:
        raise DemoError(f"python {' '.join(command[1:3])} failed:\n{ended.stdout}")


def fill_database(connection: psycopg.Connection[Any], frames: Mapping[str, pl.DataFrame]) -> None:
    """Create the tables and load the frames that there are.

    Raises
    ------
    TableError
        Rows are refused.
    """
    migrate(connection)
    for note in load_market(connection, frames):
        print(note)


def run_flow(symbols: list[str], as_of: datetime) -> tuple[list[str], list[str]]:
    """Run the flow in this process; return the failures, and the codes of the warnings of each forecast."""
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


def show_what_events_change(
    connection: psycopg.Connection[Any], client: Client, forecasts: Sequence[dict[str, Any]]
) -> None:
    """Print a forecast that has events, with them and without: EURUSD's, else the first."""
    active = [row for row in forecasts if row["event_context"] is not None]
    # The euro reacts to the dollar's releases, and trades around the clock on weekdays.
    active.sort(key=lambda row: row["symbol"] != "EURUSD")
    comparison = compare(connection, client, active[0]["symbol"], "1h") if active else None
    if comparison is not None:
        console.print(event_comparison_table(comparison))
        for line in comparison_lines(comparison):
            console.print(line)


if __name__ == "__main__":
    sys.exit(main())
