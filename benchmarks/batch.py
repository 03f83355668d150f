"""Measures the hourly batch of 25 symbols through the flow, the server and Postgres, in base size.

``python -m benchmarks.batch`` prints a Markdown table. Where there are fewer series than symbols, each is
loaded under several names.
"""

import os
import resource
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.market import market_frames
from benchmarks.models import bundle
from flows.load import load_calendar, load_candles
from flows.runtime.local_server import local_server
from market.instruments import default_instruments
from sql.connect import connect
from sql.embedded import server as embedded
from sql.loading import load
from sql.migrate import migrate

SYMBOLS, LOOKBACK, PRED_LEN, PATHS = 25, 392, 120, 20
AS_OF = datetime(2022, 3, 1, 12, tzinfo=UTC)  # six real hourly series end here


def measure(symbols: int = SYMBOLS, size: str = "base") -> dict[str, Any]:
    """Seconds of one run of the flow, the rows that it stored, and the server's peak memory."""
    frame, calendar, as_of, source = _market()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"KRONOS_DATA_DIR": f"{folder}/postgres", "PREFECT_HOME": f"{folder}/prefect"}
        os.environ.pop("DATABASE_URL", None)
        try:
            with connect(autocommit=True) as connection:
                migrate(connection)
                names = _load(connection, frame, symbols)
                load_calendar(connection, calendar)
            with local_server(bundle(size, "events"), Path(folder) / "server.log") as address:
                seconds, stored = _run(address, names, as_of)
        finally:
            embedded.stop()
    return {
        "symbols": symbols,
        "size": size,
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


def table(row: dict[str, Any]) -> str:
    """The figures as a Markdown table."""
    heads = (
        "model",
        "symbols × paths",
        "lookback + pred_len",
        "time",
        "per symbol",
        "rows",
        "server, peak memory",
    )
    cells = (
        row["size"],
        f"{row['symbols']} × {PATHS}",
        f"{LOOKBACK} + {PRED_LEN}",
        f"{row['seconds']:.0f} s",
        f"{row['seconds'] / row['symbols']:.1f} s",
        row["stored"],
        f"{row['server_gb']:.1f} GB",
    )
    note = f"The flow `predict-batch` with events, from {row['source']} candles in Postgres to stored rows."
    lines = [" | ".join(map(str, line)) for line in (heads, ("---",) * len(heads), cells)]
    return "\n".join([*(f"| {line} |" for line in lines), "", note])


if __name__ == "__main__":
    print(table(measure()))
