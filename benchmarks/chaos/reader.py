"""A reader that looks at the stored forecasts again and again, and notes what no reader may ever see."""

import math
import threading
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

from benchmarks.chaos.market import SYMBOLS
from sql.connect import connect
from sql.errors import DatabaseError

PAUSE_S = 0.05
CHANNELS, FLOAT_BYTES = 20, 4

_ROWS = """
SELECT p.*, i.lookback, octet_length(i.events) AS event_bytes, i.symbol IS NOT NULL AS has_inputs
FROM ml_predictions AS p
LEFT JOIN prediction_inputs AS i USING (symbol, timeframe, as_of, model_name)
"""


class Reader:
    """A thread that reads all forecasts with their inputs until it is stopped; a context manager.

    Attributes
    ----------
    faults
        What was wrong with a row, each once.
    reads, failed_reads
        Reads that saw the table, and those that failed because the database was gone.
    """

    def __init__(self, url: str) -> None:
        self.faults: dict[str, None] = {}
        self.reads = 0
        self.failed_reads = 0
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read_on, name="reader")

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _read_on(self) -> None:
        known: set[tuple[Any, ...]] = set()
        while not self._stop.is_set():
            try:
                with connect(self._url, autocommit=True) as connection:
                    while not self._stop.wait(PAUSE_S):
                        known = self._read(connection, known)
            except (DatabaseError, psycopg.OperationalError):
                self.failed_reads += 1
                self._stop.wait(PAUSE_S)
            except Exception as error:  # a thread that dies in silence would have seen no fault
                self.faults[f"the reader failed: {error!r}"] = None
                raise

    def _read(self, connection: psycopg.Connection[Any], known: set[tuple[Any, ...]]) -> set[tuple[Any, ...]]:
        rows = stored(connection)
        self.reads += 1
        keys = [(row["symbol"], row["timeframe"], row["as_of"], row["model_name"]) for row in rows]
        if len(set(keys)) < len(keys):
            self.faults["a row is stored twice"] = None
        for key in known - set(keys):
            self.faults[f"{key} is gone"] = None
        for row in rows:
            for fault in faults_of(row):
                self.faults[f"{row['symbol']} {row['as_of']}: {fault}"] = None
        return set(keys)


def stored(connection: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    """All forecasts with their inputs, as one statement sees them."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_ROWS).fetchall()


def faults_of(row: dict[str, Any]) -> list[str]:
    """What is not whole in a forecast, or contradicts itself."""
    faults: list[str] = []
    lengths = {name: len(row[name]) for name in ("timestamps", "p10", "p50", "p90")}
    if set(lengths.values()) != {row["pred_len"]}:
        return [f"pred_len {row['pred_len']} and lengths {lengths}"]
    values = [value for name in ("p10", "p50", "p90") for value in row[name]]
    if not all(map(math.isfinite, values)):
        faults.append("a quantile is not finite")
    if any(not low <= mid <= high for low, mid, high in zip(row["p10"], row["p50"], row["p90"], strict=True)):
        faults.append("quantiles cross")
    if not row["has_inputs"]:
        return [*faults, "its inputs are missing"]
    with_events = row["event_bytes"] is not None
    if with_events and row["event_bytes"] != (row["lookback"] + row["pred_len"]) * CHANNELS * FLOAT_BYTES:
        faults.append(f"the event array has {row['event_bytes']} bytes")
    active = (row["event_context"] or {}).get("events_active", [])
    if with_events != ("fomc" in active):
        faults.append(
            f"event_context {row['event_context']} of a row {'with' if with_events else 'without'} events"
        )
    said = any(text.startswith("events-not-used:") for text in row["warnings"] or ())
    if with_events == said:
        faults.append(f"warnings {row['warnings']} of a row {'with' if with_events else 'without'} events")
    return faults


def missing(connection: psycopg.Connection[Any], as_of: datetime) -> list[str]:
    """The symbols without a row of a last candle."""
    rows = connection.execute(
        "SELECT symbol FROM ml_predictions WHERE timeframe = '1h' AND as_of = %s", (as_of,)
    ).fetchall()
    return sorted(set(SYMBOLS) - {symbol for (symbol,) in rows})
