"""Defines the command line of ``python -m flows.evaluate``."""

import argparse
from pathlib import Path
from typing import Final

from flows.runtime.arguments import TIMEFRAME, instant, names_in, not_negative, positive

_DESCRIPTION: Final = """Says whether a bundle is better than simple baselines on a past period: forecasts at
one instant after the other from the candles and the calendar known then, with events and without, and
compares with the actual closes. Prints the answers and tables, and writes a report (HTML) and every step of
every forecast (Parquet)."""


def evaluate_parser(prog: str) -> argparse.ArgumentParser:
    """Return the parser of ``python -m flows.evaluate``."""
    parser = argparse.ArgumentParser(prog=prog, description=_DESCRIPTION)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--bundle", type=Path, help="start a server for this bundle")
    where.add_argument(
        "--server",
        help="a running server's address; unless given, KRONOS_SERVER or the first of KRONOS_SERVERS",
    )
    parser.add_argument(
        "--data",
        type=Path,
        help="folder with candles_1h, candles_1d, economic_calendar and, for unknown symbols, instruments "
        "(.parquet or .csv); else the database",
    )
    parser.add_argument("--timeframe", default="1h", **TIMEFRAME)
    parser.add_argument("--symbols", type=names_in, help="A,B; all that have candles unless given")
    parser.add_argument(
        "--start", type=instant, required=True, help="first instant, ISO 8601, UTC unless it has a zone"
    )
    parser.add_argument("--end", type=instant, required=True, help="last instant")
    parser.add_argument(
        "--every", type=positive, help="candles from one instant to the next; pred-len unless given"
    )
    parser.add_argument("--pred-len", type=positive, default=24, help="candles ahead (default 24)")
    parser.add_argument("--samples", type=positive, default=20, help="sample paths (default 20)")
    parser.add_argument(
        "--lookback", type=positive, help="past candles; as many as fit the context unless given"
    )
    parser.add_argument(
        "--stale-after",
        type=positive,
        help="closed candles that may be missing at the end before a symbol is left out (24 hourly, 5 daily)",
    )
    parser.add_argument("--no-events", dest="with_events", action="store_false", help="leave the events out")
    parser.add_argument(
        "--out", type=Path, default=Path("evaluation.parquet"), help="default evaluation.parquet"
    )
    parser.add_argument(
        "--html", type=Path, help="the report; beside --out, with the ending .html, unless given"
    )
    parser.add_argument("--json", type=Path, help="write every figure to this file, too")
    parser.add_argument(
        "--cost-bp",
        type=not_negative,
        default=5.0,
        help="cost of a change of position, basis points of the value traded (default 5)",
    )
    parser.add_argument(
        "--cost-ticks",
        type=not_negative,
        default=1.0,
        help="the same where prices may be zero or negative (allow_nonpositive), in ticks (default 1)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the resampled intervals (default 0)")
    return parser
