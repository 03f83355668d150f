"""How long /health/live takes while the largest answers are written and the largest bodies are read."""

import gzip
import http.client
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, wait
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np

from benchmarks.load import servers
from benchmarks.load.bodies import LOOKBACK, batch, encoded, forecast
from benchmarks.load.steady import HEADERS
from benchmarks.models import bundle
from market.event_channels import EVENT_CHANNELS

PATHS, PRED_LEN, SYMBOLS = 256, 120, 10
CACHE_BYTES = 2**28
PAUSE_S = 0.002
HOURS = np.timedelta64(1, "h")


def measure(size: str, repeats: int) -> str:
    """The table: probes of an idle server, and during each kind of request."""
    rows = [
        "| while | requests | each takes | probes | p50 | p99 | longest |",
        "|---|---|---|---|---|---|---|",
    ]
    settings = {"KRONOS_RESULT_CACHE_BYTES": CACHE_BYTES}
    with (
        tempfile.TemporaryDirectory() as folder,
        servers.this_server(bundle(size, "events"), Path(folder) / "log", **settings) as running,
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as client,
    ):
        rows.append(_row("idle", [], _probes(running.url, lambda: time.sleep(2))))
        limit = httpx.get(f"{running.url}/model").json()["limits"]["max_body_bytes"]
        for title, path, body, packed in _requests(limit):
            for first in (True, False):  # the first time the model runs as well, unless the body is refused
                count = 1 if first else repeats
                asking = [client.submit(ask, running.url + path, body, packed) for _ in range(count)]
                probes = _probes(running.url, partial(wait, asking))
                took = [one.result() for one in asking]
                status, _, answered = took[0]
                name = f"{title}: {len(body) / 1e6:.1f} MB in, {answered / 1e6:.1f} MB out, {status}"
                rows.append(_row(name + (", first" if first else ""), [one[1] for one in took], probes))
                print(rows[-1], file=sys.stderr, flush=True)
    note = (
        f"{size}; one process probes every {PAUSE_S * 1000:g} ms and another sends the requests, on the "
        "server's cores. The first time of a request includes the model's work; then the sample paths come "
        "from KRONOS_RESULT_CACHE_BYTES, so that reading and writing is all that the server does."
    )
    return "\n".join([*rows, "", note])


def ask(url: str, body: bytes, packed: bool) -> tuple[int, float, int]:
    """Status of a request, the seconds that it took, and the bytes of its answer."""
    start = time.perf_counter()
    answer = httpx.post(
        url, content=body, timeout=3600, headers=HEADERS | ({"Content-Encoding": "gzip"} if packed else {})
    )
    return answer.status_code, time.perf_counter() - start, len(answer.content)


def _requests(limit: int) -> list[tuple[str, str, bytes, bool]]:
    """Title, route and body, of `limit` bytes at most, of each request, and whether it is packed."""
    largest = batch(SYMBOLS, PATHS, PRED_LEN) | {"return_samples": "full", "seed": 1}
    one = forecast(PRED_LEN, sample_count=PATHS, return_samples="full", seed=1)
    full = _filled_batch()
    rows = (limit - len(encoded(one))) // 43
    zeros = encoded(one)[:-1] + b',"events":[' + b",".join([b"[" + b"0," * 19 + b"0]"] * rows) + b"]}"
    return [
        ("largest answer of one symbol", "/predict", encoded(one), False),
        ("largest answer of a batch", "/predict-batch", encoded(largest), False),
        ("100 symbols with candles and events", "/predict-batch", full, False),
        ("the same, packed", "/predict-batch", gzip.compress(full, 1), True),
        ("one symbol with as many candles as fit", "/predict", _long_history(limit), False),
        ("events of zeros, which are refused", "/predict", zeros, False),
    ]


def _filled_batch() -> bytes:
    """A batch of 100 symbols with candles and nested events, near the limit of a body."""
    asked = batch(100, 1, 1)
    draws = np.random.default_rng(0).normal(size=(LOOKBACK + 120, len(EVENT_CHANNELS)))
    events = draws[: LOOKBACK + 1].tolist()
    return encoded(asked | {"seed": 1, "events": dict.fromkeys(asked["symbols"], events)})


def _long_history(limit: int) -> bytes:
    """One symbol's hourly candles, as many as the limit of a body takes."""
    count = limit * 9 // 10 // 120
    close = 100 + np.random.default_rng(0).normal(size=count).cumsum() / 100
    stamps = np.datetime64("2024-01-01T00:00:00") - np.arange(count)[::-1] * HOURS
    first = int(np.searchsorted(stamps, np.datetime64("1901-01-01")))
    columns: dict[str, Any] = {name: close[first:].tolist() for name in ("open", "high", "low", "close")}
    columns |= {"timestamp": [f"{stamp}Z" for stamp in stamps[first:]], "volume": [1.0] * (count - first)}
    return encoded({"symbol": "BTC-USD", "timeframe": "1h", "pred_len": 1, "seed": 1, "candles": columns})


def _probes(url: str, work: Callable[[], object]) -> list[float]:
    """Seconds of each probe of /health/live while the work goes on in another thread."""
    thread = threading.Thread(target=work)
    address = urlsplit(url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=600)
    waits: list[float] = []
    thread.start()
    while thread.is_alive() or not waits:
        start = time.perf_counter()
        connection.request("GET", "/health/live")
        connection.getresponse().read()
        waits.append(time.perf_counter() - start)
        time.sleep(PAUSE_S)
    thread.join()
    return waits


def _row(name: str, took: list[float], probes: list[float]) -> str:
    each = f"{statistics.median(took):.2f} s" if took else "–"
    p50, p99 = (statistics.quantiles(probes, n=100, method="inclusive")[share - 1] for share in (50, 99))
    figures = (f"{wait * 1000:.1f} ms" for wait in (p50, p99, max(probes)))
    return f"| {name} | {len(took) or '–'} | {each} | {len(probes)} | {' | '.join(figures)} |"
