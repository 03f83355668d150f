"""Measures the latency of single forecasts while the hourly batch runs, against an idle server."""

import statistics
import tempfile
import threading
import time
from pathlib import Path

import httpx

from benchmarks.load import servers
from benchmarks.load.bodies import batch, encoded, forecast
from benchmarks.models import bundle

SYMBOLS, PATHS, PRED_LEN = 25, 20, 120
HEADERS = {"Content-Type": "application/json"}


def measure(size: str, singles: int) -> str:
    """The table of latencies, on an idle server and during batches."""
    with (
        tempfile.TemporaryDirectory() as folder,
        servers.this_server(bundle(size), Path(folder) / "log") as running,
    ):
        idle = _waits(running.url, singles)
        stop = threading.Event()
        batches: list[float] = []
        batch_client = threading.Thread(target=_batches, args=(running.url, stop, batches))
        batch_client.start()
        time.sleep(1.0)  # until the batch runs
        busy = _waits(running.url, singles)
        stop.set()
        batch_client.join()
    rows = ["| server | p50 | p95 | longest |", "|---|---|---|---|"]
    for name, waits in (("idle", idle), (f"{SYMBOLS} × {PATHS} paths run", busy)):
        rows.append(f"| {name} | {_ms(waits, 50)} | {_ms(waits, 95)} | {max(waits) * 1000:.0f} ms |")
    ratio = _percentile(busy, 95) / _percentile(idle, 95)
    note = (
        f"{size}, {singles} forecasts of one path, one after the other, while batches of {SYMBOLS} symbols × "
        f"{PATHS} paths × {PRED_LEN} candles follow one another ({len(batches)} ended, "
        f"{statistics.mean(batches):.1f} s each): p95 is {ratio:.1f} × that of the idle server."
    )
    return "\n".join([*rows, "", note])


def _waits(url: str, count: int) -> list[float]:
    body = encoded(forecast())
    waits = []
    with httpx.Client(base_url=url, timeout=600, headers=HEADERS) as client:
        client.post("/predict", content=body)
        for _ in range(count):
            start = time.perf_counter()
            client.post("/predict", content=body).raise_for_status()
            waits.append(time.perf_counter() - start)
    return waits


def _batches(url: str, stop: threading.Event, seconds: list[float]) -> None:
    body = encoded(batch(SYMBOLS, PATHS, PRED_LEN))
    with httpx.Client(base_url=url, timeout=3600, headers=HEADERS) as client:
        while not stop.is_set():
            start = time.perf_counter()
            client.post("/predict-batch", content=body).raise_for_status()
            seconds.append(time.perf_counter() - start)


def _percentile(waits: list[float], share: int) -> float:
    return statistics.quantiles(waits, n=100, method="inclusive")[share - 1]


def _ms(waits: list[float], share: int) -> str:
    return f"{_percentile(waits, share) * 1000:.0f} ms"
