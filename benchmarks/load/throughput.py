"""Measures forecasts per second and latency by the number of clients, of this server and of upstream."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.load import servers
from benchmarks.load.bodies import LOOKBACK, PRED_LEN
from benchmarks.load.closed_loop import LoadResult, load
from benchmarks.models import bundle

LONGER = {"base": 3}  # a forecast of this size takes upstream about 100 s
NOTE = (
    f"Each client requests one path of {LOOKBACK} + {PRED_LEN} hourly candles sent inline, reads the answer, "
    "and repeats; Locust runs on the same cores as the server. Upstream: its predictor behind FastAPI, "
    'one request at a time. Requests that were unanswered at the end count in the percentiles, with "> " and '
    "the time they had waited. Memory is the process's after the run."
)


def measure(sizes: Sequence[str], clients: Sequence[int], seconds: float) -> str:
    """The table over all sizes, servers and numbers of clients; base runs three times the seconds."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        for size in sizes:
            for name in ("this server", "upstream"):
                server = (
                    servers.this_server(bundle(size), log)
                    if name == "this server"
                    else servers.upstream(size, log)
                )
                with server as running:
                    for count in clients:
                        result = load(running.url, count, seconds * LONGER.get(size, 1))
                        rows.append(_row(size, name, count, result, running.memory_mb()))
                        print(rows[-1], file=sys.stderr, flush=True)
    head = [
        "| model | server | clients | forecasts/s | p50 | p95 | p99 | errors | memory |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lasted = ", ".join(f"{size} {seconds * LONGER.get(size, 1):g} s" for size in sizes)
    return "\n".join([*head, *rows, "", f"{NOTE} Each run lasts: {lasted}."])


def _row(size: str, name: str, clients: int, result: LoadResult, memory_mb: float) -> str:
    waits = " | ".join(result.percentile(share) for share in (0.5, 0.95, 0.99))
    errors = len(result.answered) - result.outcomes["200"]
    cells = (size, name, clients, f"{result.a_second:.2f}", waits, errors, f"{memory_mb / 1e3:.2f} GB")
    return f"| {' | '.join(map(str, cells))} |"
