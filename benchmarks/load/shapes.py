"""Memory of the server over requests that are all different: lookback, horizon, paths, events, samples.

What ONNX Runtime's arena holds grows with the shapes it has seen, which a load of one shape cannot show.
"""

import base64
import queue
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.load import servers
from benchmarks.load.bodies import encoded, forecast
from benchmarks.load.servers import Running
from benchmarks.load.steady import HEADERS
from benchmarks.models import MAX_CONTEXT, bundle
from market.event_channels import EVENT_CHANNELS

CLIENTS = 2
PART = 50
LOOKBACKS, PATHS = (32, 512), 100
# A step of base with many paths takes a tenth of a second: shapes matter here, not how long a request runs.
HORIZONS = {"base": 8}
LONGEST_HORIZON = 64
STRIDE, SLIDING_PATHS = 64, 4
# Small, so that the first quarter of the requests uses every page of the caches: what grows after it is not
# memory that the operator has granted.
CACHE_BYTES = {"mini": 2**26, "base": 2**29}
# Longer than any request takes, also where the benchmark is stopped for a while.
PATIENCE_S = 4 * 3600


def measure(sizes: Sequence[str], requests: int) -> str:
    """The table: memory of a server of each size after quarters of the requests, and its growth."""
    quarters = [requests * quarter // 4 for quarter in range(1, 5)]
    titles = ["model", "start", *(f"after {count}" for count in quarters), "peak", "growth after the first"]
    rows = [titles, ["---"] * len(titles)]
    for size in sizes:
        memory, peak = soaked(size, requests)
        shown = [memory[0], *(memory[count] for count in quarters)]
        growth = memory[requests] / memory[quarters[0]] - 1
        rows.append([size, *(f"{one:.0f} MB" for one in shown), f"{peak:.0f} MB", f"{growth:+.1%}"])
        print("; ".join(rows[-1]), file=sys.stderr, flush=True)
    caches = " and ".join(f"{CACHE_BYTES[size] >> 20} MiB ({size})" for size in sizes)
    note = (
        f"{requests} requests by {CLIENTS} clients to a server of a bundle with EventEncoder and adapter: "
        f"lookback {LOOKBACKS[0]} to {LOOKBACKS[1]}, 1 to {PATHS} paths, 1 to {LONGEST_HORIZON} candles "
        f"(base {HORIZONS['base']}), half of them with events, a third each without samples, with closes "
        f"and with full ones; where the context slides, {SLIDING_PATHS} paths at most, stride {STRIDE}. "
        f"KRONOS_CACHE_BYTES is {caches}, so that the first quarter uses all of it. "
        "Growth is from the end of the first quarter to the "
        "last request; the peak is the process's own, by the kernel."
    )
    return "\n".join([*(f"| {' | '.join(row)} |" for row in rows), "", note])


def soaked(size: str, requests: int, **settings: object) -> tuple[dict[int, float], float]:
    """Return the server's memory in MB by the number of requests answered, and its peak in MB."""
    settings = {
        "KRONOS_CACHE_BYTES": CACHE_BYTES[size],
        "KRONOS_REQUEST_TIMEOUT_S": PATIENCE_S,
        "KRONOS_BODY_TIMEOUT_S": PATIENCE_S,
    } | settings
    with (
        tempfile.TemporaryDirectory() as folder,
        servers.this_server(bundle(size, "adapter"), Path(folder) / "log", **settings) as running,
    ):
        bodies = draw(size)
        memory = {0: running.memory_mb()}
        for first in range(0, requests, PART):
            count = min(PART, requests - first)
            ask(running, [next(bodies) for _ in range(count)])
            memory[first + count] = running.memory_mb()
            print(
                f"{size} after {first + count}: {memory[first + count]:.0f} MB", file=sys.stderr, flush=True
            )
        return memory, running.peak_mb()


def draw(size: str) -> Iterator[bytes]:
    """Yield bodies of /predict without end, the same in every run."""
    draws = np.random.default_rng(0)
    channels = len(EVENT_CHANNELS)
    while True:
        lookback = int(draws.integers(LOOKBACKS[0], LOOKBACKS[1] + 1))
        pred_len = int(draws.integers(1, HORIZONS.get(size, LONGEST_HORIZON) + 1))
        paths = int(np.exp(draws.uniform(0, np.log(PATHS + 1))))
        settings: dict[str, Any] = {"return_samples": (False, True, "full")[draws.integers(3)]}
        if lookback + pred_len > MAX_CONTEXT + 1:
            settings["context_stride"], paths = STRIDE, min(paths, SLIDING_PATHS)
        if draws.integers(2):
            rows = lookback + pred_len
            events = draws.normal(size=(rows, channels)).astype("<f4")
            settings["events"] = {
                "shape": [rows, channels],
                "data": base64.b64encode(events.tobytes()).decode(),
            }
        yield encoded(forecast(pred_len, lookback, sample_count=paths, **settings))


def ask(running: Running, bodies: Sequence[bytes]) -> None:
    """Have all bodies answered, by `CLIENTS` clients that each ask again once they have an answer."""
    waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    for body in bodies:
        waiting.put(body)
    failures: list[Exception] = []

    def client() -> None:
        with httpx.Client(base_url=running.url, timeout=PATIENCE_S, headers=HEADERS) as http:
            try:
                while not failures:
                    http.post("/predict", content=waiting.get_nowait()).raise_for_status()
            except queue.Empty:
                pass
            except httpx.HTTPError as error:
                failures.append(error)

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
