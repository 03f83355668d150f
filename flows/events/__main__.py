"""Draws the event array of a symbol, built from the database: ``python -m flows.events plot``."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from flows.events.build import build_event_arrays
from flows.events.config import EventError, load_config
from flows.events.plot import plot_events
from flows.events.source import read_sources, span_of
from flows.forecasting.candles import closed_windows, read_candles
from flows.forecasting.event_plan import event_requests
from flows.forecasting.universe import read_universe
from flows.runtime.arguments import TIMEFRAME, instant
from sql.connect import connect
from sql.errors import DatabaseError

LOOKBACK, PRED_LEN = 392, 120
"""Candles that are drawn, and candles ahead: those of a forecast by a model with a context of 512."""


def main(arguments: list[str] | None = None, prog: str = "python -m flows.events") -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    plot = parser.add_subparsers(required=True, metavar="plot").add_parser(
        "plot", help="draw the candles of a symbol with the 20 event channels under them"
    )
    plot.add_argument("--symbol", required=True)
    plot.add_argument("--timeframe", required=True, **TIMEFRAME)
    plot.add_argument(
        "--as-of", type=instant, default=datetime.now(UTC), help="ISO 8601, UTC; now unless given"
    )
    plot.add_argument("out", type=Path, help="picture to write, such as out.png")
    args = parser.parse_args(arguments)
    try:
        return _plot(args.symbol, args.timeframe, args.as_of, args.out)
    except (EventError, LookupError, ValueError, DatabaseError, psycopg.Error) as error:
        print(f"{args.symbol}: {error}", file=sys.stderr)
        return 1


def _plot(symbol: str, timeframe: str, as_of: datetime, out: Path) -> int:
    with connect() as connection:
        universe = read_universe(connection, [symbol])
        symbol = next(iter(universe.instruments), symbol)
        candles = read_candles(connection, timeframe, [symbol], LOOKBACK, as_of)
        windows = closed_windows(
            candles,
            universe.instruments,
            timeframe,
            as_of,
            lookback=LOOKBACK,
            pred_len=PRED_LEN,
            min_candles=2,
        )
        reasons = universe.unknown | windows.unusable | windows.stale
        if symbol in reasons:
            raise ValueError(reasons[symbol])
        window = windows.windows[symbol]
        (request,) = event_requests({symbol: window}, timeframe, as_of)
        config = load_config()
        sources = read_sources(connection, span_of([request]), config)
    results = build_event_arrays([request], sources.calendar, sources.leaders, config, sources.rates)
    result = results[symbol]
    plot_events(request, window.columns, result, out)
    for warning in result.warnings:
        print(warning, file=sys.stderr)
    print(f"wrote {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
