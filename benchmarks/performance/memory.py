"""Measures the memory of a server of base by precision, up to a request of 256 paths, within 8 GiB."""

import resource
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.load import servers
from benchmarks.load.bodies import encoded, forecast
from benchmarks.load.steady import HEADERS
from benchmarks.models import PRECISIONS, bundle

SIZE: Final = "base"
# The default of a machine with 8 GiB: a quarter of its memory.
CACHE_BYTES: Final = 2 << 30
LIMIT_BYTES: Final = 8 << 30
# paths, pred_len: 256 paths of 24 candles fit into the cache together; of 48 candles they take turns.
REQUESTS: Final = ((1, 24), (20, 24), (256, 24), (256, 48))


def measure() -> list[dict[str, Any]]:
    """Return the resident memory of a server in MB, once it is ready and after each of `REQUESTS`.

    From when it is ready the server's whole address space is limited to `LIMIT_BYTES` (Linux), which is
    stricter than as much memory: what does not fit fails there instead of being killed.
    """
    rows = []
    for precision in PRECISIONS:
        folder = bundle(SIZE, "events", precision)
        with (
            tempfile.TemporaryDirectory() as temporary,
            servers.this_server(folder, Path(temporary) / "log", KRONOS_CACHE_BYTES=CACHE_BYTES) as server,
        ):
            resource.prlimit(server.process.pid, resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
            rows += [{"precision": precision, **row} for row in after_each(server)]
    return rows


def after_each(
    server: servers.Running, requests: Sequence[tuple[int, int]] = REQUESTS
) -> Iterator[dict[str, Any]]:
    """Return the memory of a server that is ready, and after each request of so many paths and candles."""
    yield {"after": "ready", "rss_mb": server.memory_mb(), "peak_mb": server.peak_mb()}
    for paths, pred_len in requests:
        body = encoded(forecast(pred_len, sample_count=paths))
        answer = httpx.post(f"{server.url}/predict", content=body, headers=HEADERS, timeout=900)
        row = {
            "after": f"{paths} × {pred_len}",
            "status": answer.status_code,
            "together": int(answer.headers.get("X-Batch-Size", 0)),
            "rss_mb": server.memory_mb(),
            "peak_mb": server.peak_mb(),
        }
        print(row, file=sys.stderr, flush=True)
        yield row
