"""Times how requests to base grow with symbols, paths, lookback and pred_len, and answers with clients."""

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.load import servers
from benchmarks.load.bodies import encoded, forecast
from benchmarks.load.steady import HEADERS
from benchmarks.market import job
from benchmarks.models import PRECISIONS, bundle
from benchmarks.performance import phases
from inference_server.engine.engine import Engine
from inference_server.engine.jobs import ForecastJob

SIZE: Final = "base"
LOOKBACK: Final = 392
PRED_LEN: Final = 24
PATHS: Final = 20
_SHORT_S: Final = 4.0
_CLIENTS_S: Final = 10.0


@dataclass(frozen=True)
class Axis:
    """What grows, over which values, and what stays.

    Attributes
    ----------
    jobs
        Returns the jobs of a value; they begin together.
    """

    values: tuple[int, ...]
    fixed: str
    jobs: Callable[[int], Sequence[ForecastJob]]


AXES: Final = {
    "symbols": Axis(
        (1, 2, 5, 10, 25),
        f"{PATHS} paths each, {LOOKBACK} + {PRED_LEN}",
        lambda n: [job(LOOKBACK, PRED_LEN, sample_count=PATHS, seed=k) for k in range(n)],
    ),
    "paths": Axis(
        (1, 2, 5, 10, 20, 50, 100, 256),
        f"1 symbol, {LOOKBACK} + {PRED_LEN}",
        lambda n: [job(LOOKBACK, PRED_LEN, sample_count=n)],
    ),
    "lookback": Axis(
        (64, 128, 192, 256, 392, 488),
        f"1 symbol, {PATHS} paths, pred_len {PRED_LEN}",
        lambda n: [job(n, PRED_LEN, sample_count=PATHS)],
    ),
    "pred_len": Axis(
        (1, 12, 24, 48, 96, 120),
        f"1 symbol, {PATHS} paths, lookback {LOOKBACK}",
        lambda n: [job(LOOKBACK, n, sample_count=PATHS)],
    ),
}
CLIENTS: Final = (1, 2, 4, 8, 16)
FIXED: Final = {axis: spec.fixed for axis, spec in AXES.items()} | {
    "clients": f"1 path, {LOOKBACK} + {PRED_LEN}, each one request at a time"
}
"""What stays the same, in words, for every axis."""


def measure(axis: str) -> list[dict[str, Any]]:
    """Return seconds by value of an axis and precision; the precisions take turns at each value."""
    engines = {precision: Engine.load(bundle(SIZE, "events", precision)) for precision in PRECISIONS}
    for engine in engines.values():
        engine.warm_up()
    rows = []
    for value in AXES[axis].values:
        for precision, engine in engines.items():
            jobs = AXES[axis].jobs(value)
            seconds = [phases.run(engine, jobs).seconds]
            while len(seconds) < 3 and seconds[0] < _SHORT_S:
                seconds.append(phases.run(engine, jobs).seconds)
            rows.append({"value": value, "precision": precision, "seconds": statistics.median(seconds)})
            print(axis, rows[-1], file=sys.stderr, flush=True)
    return rows


def measure_clients() -> list[dict[str, Any]]:
    """Return the median seconds of an answer, and answers a minute, by clients and precision."""
    rows = []
    for precision in PRECISIONS:
        with (
            tempfile.TemporaryDirectory() as folder,
            servers.this_server(bundle(SIZE, "events", precision), Path(folder) / "log") as server,
        ):
            clients(server.url, 1, 2.0)
            for count in CLIENTS:
                waits, took = clients(server.url, count, _CLIENTS_S)
                rows.append(
                    {
                        "value": count,
                        "precision": precision,
                        "seconds": statistics.median(waits),
                        "a_minute": 60 * len(waits) / took,
                    }
                )
                print("clients", rows[-1], file=sys.stderr, flush=True)
    return rows


def clients(url: str, count: int, seconds: float) -> tuple[list[float], float]:
    """Let clients send requests for so long; return the seconds of each answer, and of the whole.

    Raises
    ------
    httpx.HTTPStatusError
        A request was refused.
    """
    body = encoded(forecast(PRED_LEN, LOOKBACK))
    waits: list[float] = []
    failures: list[httpx.HTTPError] = []
    begun = time.perf_counter()

    def client() -> None:
        with httpx.Client(timeout=600) as http:
            while time.perf_counter() - begun < seconds and not failures:
                start = time.perf_counter()
                try:
                    http.post(f"{url}/predict", content=body, headers=HEADERS).raise_for_status()
                except httpx.HTTPError as failure:
                    failures.append(failure)
                else:
                    waits.append(time.perf_counter() - start)

    threads = [threading.Thread(target=client) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return waits, time.perf_counter() - begun
