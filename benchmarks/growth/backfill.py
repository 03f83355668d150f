"""``python -m benchmarks.growth.backfill``: forecasts a second of the flow backfill; prints a table.

The flow fills hours of a generated market of hourly candles around the clock, in an embedded Postgres of its
own. A stand-in for the inference server answers at once, so that the time is that of everything but the
model; ``--bundle FOLDER`` serves a bundle instead.
"""

import argparse
import os
import tempfile
import time
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from prefect import State
from prefect.settings import temporary_settings

from benchmarks.growth.market import AS_OF, add_market, names
from flows.backfill import backfill
from flows.backfilling.progress import BackfillCount
from flows.predict import predict_batch
from flows.runtime.commands import local_prefect_defaults
from flows.runtime.local_server import ServerProcess, server_process
from sql.connect import connect
from sql.embedded import server as embedded
from sql.migrate import migrate

LOOKBACK: Final = 392
HEADS: Final = (
    "server",
    "symbols",
    "hours",
    "forecasts",
    "time",
    "forecasts/s",
    "per forecast",
    "CPU of the flow",
)


def measure(symbols: int, hours: int, bundle: Path | None) -> dict[str, Any]:
    """Fill the last hours of a fresh market; return the figures of the run."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "KRONOS_DATA_DIR": f"{folder}/postgres",
            "PREFECT_HOME": f"{folder}/prefect",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }
        os.environ.pop("DATABASE_URL", None)
        try:
            with connect(autocommit=True) as connection:
                migrate(connection)
                add_market(connection, symbols, LOOKBACK + hours + 4, ("BTC-USD",))
            with _server(bundle, Path(folder)) as server:
                os.environ["KRONOS_SERVER"] = server.address
                return _fill(symbols, hours)
        finally:
            embedded.stop()


def _server(bundle: Path | None, folder: Path) -> AbstractContextManager[ServerProcess]:
    """Serve a bundle, or the stand-in, for a block."""
    log = folder / "server.log"
    if bundle is None:
        return server_process("benchmarks.growth.stand_in", "/", os.environ, log)
    return server_process(
        "inference_server", "/health/ready", {**os.environ, "KRONOS_BUNDLE": str(bundle)}, log
    )


def _fill(symbols: int, hours: int) -> dict[str, Any]:
    """Make the live forecasts of the newest candle, then fill the hours before it."""
    chosen: dict[str, Any] = {"symbols": names(symbols), "timeframe": "1h"}
    with temporary_settings(local_prefect_defaults()):
        predict_batch(**chosen, as_of=AS_OF)
        before, start = time.process_time(), time.perf_counter()
        state: State[Any] = backfill(
            **chosen, start=AS_OF - timedelta(hours=hours), end=AS_OF - timedelta(hours=1), return_state=True
        )
        seconds, cpu = time.perf_counter() - start, time.process_time() - before
    if not state.is_completed():
        raise RuntimeError(f"the backfill is {state.name}: {state.message}")
    count = state.result()
    assert isinstance(count, BackfillCount)
    return {"made": count.sum_of("made"), "seconds": seconds, "cpu_seconds": cpu}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth.backfill", description=__doc__)
    parser.add_argument("--symbols", type=int, default=25)
    parser.add_argument("--hours", type=int, default=720, help="hours to fill (default 720, 30 days)")
    parser.add_argument("--bundle", type=Path, help="serve this bundle instead of the stand-in")
    args = parser.parse_args()
    found = measure(args.symbols, args.hours, args.bundle)
    made, seconds = found["made"], found["seconds"]
    row = (
        "stand-in" if args.bundle is None else args.bundle.name,
        f"{args.symbols:,}",
        f"{args.hours:,}",
        f"{made:,}",
        f"{seconds:.0f} s",
        f"{made / seconds:.1f}",
        f"{1e3 * seconds / made:.1f} ms",
        f"{1e3 * found['cpu_seconds'] / made:.1f} ms",
    )
    print("\n".join(f"| {' | '.join(line)} |" for line in (HEADS, ("---",) * len(HEADS), row)))


if __name__ == "__main__":
    main()
