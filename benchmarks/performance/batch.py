"""Measures the hourly batch of 25 symbols through the flow, the server and Postgres.

``python -m benchmarks.performance.batch SIZE PRECISION`` prints its figures as JSON, for one bundle: Prefect
and the embedded Postgres begin anew in each process. Where there are fewer series than symbols, each is
loaded under several names.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.market import market_frames
from benchmarks.models import PRECISIONS, bundle
from flows.load import load_calendar, load_candles
from flows.runtime.local_server import local_server
from market.instruments import default_instruments
from sql.connect import connect
from sql.embedded import server as embedded
from sql.loading import load
from sql.migrate import migrate

SYMBOLS, LOOKBACK, PRED_LEN, PATHS = 25, 392, 120, 20
AS_OF = datetime(2022, 3, 1, 12, tzinfo=UTC)  # six real hourly series end here


def measure(size: str) -> list[dict[str, Any]]:
    """Return the figures of a size in each precision, each measured in a process of its own."""
    rows = []
    for precision in PRECISIONS:
        command = [sys.executable, "-m", "benchmarks.performance.batch", size, precision]
        completed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        # Prefect may log to the same stream; the figures are the last line.
        rows.append(json.loads(completed.stdout.splitlines()[-1]))
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def measure_one(size: str, precision: str) -> dict[str, Any]:
    """Return seconds of one run of the flow, the rows that it stored, and the server's peak memory."""
    frame, calendar, as_of, source = _market()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"KRONOS_DATA_DIR": f"{folder}/postgres", "PREFECT_HOME": f"{folder}/prefect"}
        os.environ.pop("DATABASE_URL", None)
        try:
            with connect(autocommit=True) as connection:
                migrate(connection)
                names = _load(connection, frame, SYMBOLS)
                load_calendar(connection, calendar)
            with local_server(bundle(size, "events", precision), Path(folder) / "server.log") as address:
                seconds, stored = _run(address, names, as_of)
        finally:
            embedded.stop()
    return {
        "size": size,
        "precision": precision,
        "symbols": SYMBOLS,
        "paths": PATHS,
        "lookback": LOOKBACK,
        "pred_len": PRED_LEN,
        "source": source,
        "seconds": seconds,
        "stored": stored,
        "server_gb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6,
    }


def _market() -> tuple[pl.DataFrame, pl.DataFrame, datetime, str]:
    """Return hourly candles, calendar, the instant of the forecasts, and "real" or "generated"."""
    frames, source = market_frames()
    candles, calendar = frames["candles_1h"], frames["economic_calendar"]
    if source == "generated":
        return candles, calendar, candles["timestamp"].max(), source  # type: ignore[return-value]
    recent = pl.col("timestamp").is_between(datetime(2021, 9, 1, tzinfo=UTC), AS_OF)
    return candles.filter(recent), calendar, AS_OF, source


def _load(connection: Any, frame: pl.DataFrame, count: int) -> list[str]:
    """Store the series under `count` names and return these."""
    series = [part for part in frame.partition_by("symbol") if len(part) > LOOKBACK + 100]
    names = []
    for number in range(count):
        part = series[number % len(series)]
        symbol = part["symbol"][0]
        instrument = default_instruments()[symbol]
        name = symbol if number < len(series) else f"{symbol}.{number // len(series)}"
        row = vars(instrument) | {"symbol": name, "active": True}
        connection.execute(load("upsert_instruments"), row)
        load_candles(connection, part.with_columns(symbol=pl.lit(name)), "1h")
        names.append(name)
    return names


def _run(address: str, names: list[str], as_of: datetime) -> tuple[float, int]:
    os.environ |= {"KRONOS_SERVER": address, "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
    from prefect.settings import temporary_settings

    from flows.predict import predict_batch
    from flows.runtime.commands import local_prefect_defaults

    with temporary_settings(local_prefect_defaults()):
        start = time.perf_counter()
        predict_batch(
            symbols=names,
            timeframe="1h",
            pred_len=PRED_LEN,
            sample_count=PATHS,
            lookback=LOOKBACK,
            as_of=as_of,
        )
        seconds = time.perf_counter() - start
    with connect() as connection:
        (stored,) = connection.execute("SELECT count(*) FROM ml_predictions").fetchone() or (0,)
    return seconds, stored


if __name__ == "__main__":
    print(json.dumps(measure_one(*sys.argv[1:])))
