"""Measures the memory of a server of base by precision, up to a request of 256 paths, within 8 GiB."""

import resource
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.load import servers
from benchmarks.load.bodies import encoded, forecast
from benchmarks.models import PRECISIONS, bundle

SIZE: Final = "base"
# The default of a machine with 8 GiB: a quarter of its memory.
CACHE_BYTES: Final = 2 << 30
LIMIT_BYTES: Final = 8 << 30
# paths, pred_len: 256 paths of 24 candles fit into the cache together; of 120 candles they take turns.
REQUESTS: Final = ((1, 24), (20, 24), (256, 24), (256, 120))
_HEADERS: Final = {"Content-Type": "application/json"}


def measure() -> list[dict[str, Any]]:
    """Return the resident memory of a server in MB, once it is ready and after each of `REQUESTS`.

    The server's whole address space is limited to `LIMIT_BYTES`, which is stricter than as much memory: what
    does not fit fails there instead of being killed.
    """
    rows = []
    for precision in PRECISIONS:
        folder = bundle(SIZE, "events", precision)
        with (
            tempfile.TemporaryDirectory() as temporary,
            _limited_address_space(),
            servers.this_server(folder, Path(temporary) / "log", KRONOS_CACHE_BYTES=CACHE_BYTES) as server,
        ):
            files = sum(file.stat().st_size for file in folder.iterdir())
            rows.append(
                {
                    "precision": precision,
                    "after": "ready",
                    "files_mb": files / 1e6,
                    "rss_mb": server.memory_mb(),
                    "peak_mb": server.peak_mb(),
                }
            )
            for paths, pred_len in REQUESTS:
                body = encoded(forecast(pred_len, sample_count=paths))
                answer = httpx.post(f"{server.url}/predict", content=body, headers=_HEADERS, timeout=900)
                rows.append(
                    {
                        "precision": precision,
                        "after": f"{paths} × {pred_len}",
                        "status": answer.status_code,
                        "rss_mb": server.memory_mb(),
                        "peak_mb": server.peak_mb(),
                        "together": int(answer.headers.get("X-Batch-Size", 0)),
                    }
                )
                print(rows[-1], file=sys.stderr, flush=True)
    return rows


@contextmanager
def _limited_address_space() -> Iterator[None]:
    """Limit the address space of this process and of those that it starts to `LIMIT_BYTES`."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
