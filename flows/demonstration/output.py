"""Formats the demo's table of forecasts, its counts of warnings, and the commands that show the page."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row
from rich import box
from rich.table import Table

from flows.forecasting.run_table import event_words, price
from sql.loading import load


def stored_forecasts(connection: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    """Return the newest hourly forecast of each symbol at its last step."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(load("forecast_horizons")).fetchall()
    return [row for row in rows if row["timeframe"] == "1h"]


def forecast_table(forecasts: Sequence[dict[str, Any]], horizon: int) -> Table:
    """Return forecasts at their horizon, in hours, with the last candle that each was made from.

    Parameters
    ----------
    forecasts
        Rows of `stored_forecasts`.
    """
    table = Table(title=f"Close {horizon} hours ahead, times in UTC", box=box.SIMPLE_HEAD, padding=0)
    for name in ("symbol", "last candle"):
        table.add_column(name, no_wrap=True)
    for name in ("last close", "p10", "p50", "p90"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("events")
    for row in forecasts:
        prices = (price(row[name]) for name in ("last_close", "p10", "p50", "p90"))
        last_candle = f"{row['as_of']:%m-%d %H:%M}"
        table.add_row(row["symbol"], last_candle, *prices, event_words(row["event_context"]))
    return table


def warning_lines(codes: Sequence[str]) -> list[str]:
    """Return a line for each code of warnings, with the number of forecasts that have it."""
    return [
        f"warning {code} in {count} forecasts: see docs/warnings.md"
        for code, count in sorted(Counter(codes).items())
    ]


def page_commands(bundle: Path, postgres: Path) -> str:
    """Return the commands that show the demo's forecasts in a browser."""
    python = Path(sys.executable)
    command = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else "python"
    return (
        f"To see these forecasts on the server's page, type\n\n"
        f"    export KRONOS_BUNDLE={bundle}\n"
        f"    export KRONOS_DATA_DIR={postgres}\n"
        f"    {command} -m inference_server\n\n"
        "and open http://127.0.0.1:8200/ in a browser."
    )
