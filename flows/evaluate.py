"""``python -m flows.evaluate``: how a bundle would have done over a past period, beside a random walk.

Walks from instant to instant, forecasts from the candles and the calendar known then, and compares with the
closes that came. Prints tables and writes every forecast, step by step, to a Parquet file.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import psycopg
from rich.console import Console
from rich.progress import Progress

from flows.backtest.history import History, HistoryError, Period, history_from_database, history_from_files
from flows.backtest.tables import calibrate_later_half, comparison_table, coverage_table, frame_of
from flows.backtest.walk_forward import RANDOM_WALK, Walked, made_at_instants, walk
from flows.events import EventError
from flows.files.frames import TableError
from flows.forecasting.forecasts import Order, Sampling, build_request, usable_lookback
from flows.runtime.arguments import instant, names_in, positive
from flows.runtime.local_server import ServerError, local_server
from flows.runtime.server_calls import while_busy
from flows.runtime.settings import FlowSettings
from inference_server.client import Client, ClientError
from inference_server.schemas import ModelInfo, PredictAnswer
from market.timeframes import TIMEFRAMES
from sql.connect import connect
from sql.errors import DatabaseError, one_line

console = Console(highlight=False)


def main(arguments: list[str] | None = None, prog: str = "python -m flows.evaluate") -> int:
    """Evaluate; the exit status is 1 where it can't."""
    given = _parser(prog).parse_args(arguments)
    try:
        return evaluate(given)
    except psycopg.Error as error:
        message = one_line(error)
    except (
        ClientError,
        ServerError,
        HistoryError,
        TableError,
        EventError,
        DatabaseError,
        ValueError,
    ) as error:
        message = str(error)
    print(f"error: {message}", file=sys.stderr)
    return 1


def evaluate(given: argparse.Namespace) -> int:
    """Run an evaluation as the command line asks for it."""
    with server(given.bundle, given.server) as address, open_client(address) as client:
        model = client.model()
        lookback = usable_lookback(
            given.lookback, given.pred_len, model.max_context, model.limits.min_candles
        )
        period = Period(given.timeframe, given.symbols, given.start, given.end, lookback, given.pred_len)
        history = read_history(given.data, period)
        found = walk_over(client, model, history, period, given)
    if not found.scored:
        raise HistoryError(f"nothing was forecast: {counted(found.skipped)}")
    report(found, model, history, period, given)
    return 0


@contextmanager
def server(bundle: Path | None, address: str | None) -> Iterator[str]:
    """Give the address of a running server, or start one for a bundle and stop it afterwards."""
    if bundle is None:
        yield address or FlowSettings.from_env().server_url
        return
    with tempfile.TemporaryDirectory(prefix="kronos-evaluate-") as folder:
        console.print(f"Serving {bundle} …")
        with local_server(bundle, Path(folder) / "server.log") as started:
            yield started


def open_client(address: str) -> Client:
    """Return a client of the server at an address, with the timeout and key of the environment."""
    settings = FlowSettings.from_env()
    return Client(address, settings.timeout_s, api_key=settings.api_key)


def read_history(data: Path | None, period: Period) -> History:
    """Read candles and calendar from a folder, or from the database where none is given."""
    if data is not None:
        return history_from_files(data, period)
    with connect() as connection:
        return history_from_database(connection, period)


def walk_over(
    client: Client, model: ModelInfo, history: History, period: Period, given: argparse.Namespace
) -> Walked:
    """Forecast instant by instant; what is done counts where the user stops it."""
    sampling = Sampling(given.timeframe, given.pred_len, given.samples, 1.0, 1.0, 0, None)
    instants = made_at_instants(given.start, given.end, given.timeframe, given.every or given.pred_len)

    timeout_s = FlowSettings.from_env().timeout_s

    def ask(order: Order) -> PredictAnswer:
        request = build_request(order)
        return while_busy(lambda _: client.predict(request, order.events), timeout_s, console.print)

    found = Walked()
    steps = walk(
        history,
        model,
        ask,
        sampling,
        period.lookback,
        instants,
        with_events=given.with_events,
        shorter_lookback=given.timeframe in FlowSettings.from_env().shorter_lookback,
        stale_after=given.stale_after,
    )
    with Progress(console=console, transient=True) as progress:
        try:
            for step in progress.track(steps, total=len(instants), description=f"asking {model.name}"):
                found.scored += step.scored
                found.skipped += step.skipped
                found.without_events += step.without_events
        except KeyboardInterrupt:
            console.print("stopped: the tables show what was done until now")
    return found


def report(
    found: Walked, model: ModelInfo, history: History, period: Period, given: argparse.Namespace
) -> None:
    """Print the tables and write the file."""
    mine = [each for each in found.scored if each.model != RANDOM_WALK]
    calibrated = calibrate_later_half(mine)
    steps = frame_of(found.scored, calibrated)
    title = (
        f"{model.name} beside a random walk, {period.start:%Y-%m-%d} to {period.end:%Y-%m-%d}: {len(mine):,} "
        f"forecasts of {period.pred_len} {period.timeframe} candles, {given.samples} paths, "
        f"lookback {period.lookback}"
    )
    console.print(comparison_table(steps, model.name, title))
    if calibrated.tested:
        title = (
            f"p10–p90 before and after calibration: learned from {calibrated.learned:,} forecasts that had "
            f"matured by {calibrated.learned_by:%Y-%m-%d %H:%M} UTC, tested on {calibrated.tested:,} later"
        )
        classes = {symbol: known.asset_class for symbol, known in history.instruments.items()}
        console.print(coverage_table(steps.filter(pl.col("model") == model.name), classes, title))
    else:
        console.print("No calibration: too few forecasts had matured by the middle of the period.")
    for reason, count in sorted(found.without_events.items()):
        console.print(f"WITHOUT EVENTS: {count:,} forecasts: {reason}")
    if found.skipped:
        console.print(f"Left out: {counted(found.skipped)}")
    steps.write_parquet(given.out)
    console.print(f"Wrote {given.out}: {steps.height:,} rows, a row per forecast and step.")


def counted(reasons: Counter[str]) -> str:
    """Return how many windows were left out for which reason."""
    return "; ".join(f"{count:,} windows: {reason}" for reason, count in sorted(reasons.items()) if count)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--bundle", type=Path, help="serve this bundle while it takes")
    where.add_argument("--server", help="a running server's address; KRONOS_SERVER unless given")
    parser.add_argument(
        "--data",
        type=Path,
        help="folder with candles_1h, candles_1d, economic_calendar (.parquet or .csv); else the database",
    )
    parser.add_argument("--timeframe", choices=TIMEFRAMES, default="1h")
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
    return parser


if __name__ == "__main__":
    sys.exit(main())
