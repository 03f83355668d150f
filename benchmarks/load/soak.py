"""Measures the server's memory under a steady load, which must not grow once it is warm."""

import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.load import servers
from benchmarks.load.closed_loop import LoadResult, load
from benchmarks.models import bundle

CLIENTS = 8
POINTS = 10


def measure(sizes: Sequence[str], seconds: float) -> str:
    """The table of memory over time for each size, with its growth over the second half."""
    ticks = [f"{number * seconds / POINTS / 60:.1f} min" for number in range(POINTS + 1)]
    rows, notes = [], []
    for size in sizes:
        memory, result = _soaked(size, seconds)
        rows.append([size, *(f"{value:.0f} MB" for value in memory)])
        errors = {outcome: count for outcome, count in result.outcomes.items() if outcome != "200"}
        growth = memory[-1] - memory[POINTS // 2]
        notes.append(
            f"{size}: {result.outcomes['200']} forecasts, other outcomes: {errors or 'none'}; growth over "
            f"the second half {growth:+.1f} MB."
        )
        print("; ".join(rows[-1]), notes[-1], file=sys.stderr, flush=True)
    head = [["model", *ticks], ["---"] * (len(ticks) + 1)]
    lines = [f"| {' | '.join(row)} |" for row in (*head, *rows)]
    return "\n".join([*lines, "", f"{CLIENTS} clients for {seconds:g} s. {' '.join(notes)}"])


def _soaked(size: str, seconds: float) -> tuple[list[float], LoadResult]:
    """Memory in MB before the load and at `POINTS` instants of it, and the result of the clients."""
    with (
        tempfile.TemporaryDirectory() as folder,
        servers.this_server(bundle(size), Path(folder) / "log") as running,
    ):
        memory = [running.memory_mb()]

        def watch() -> None:
            for number in range(1, POINTS + 1):
                time.sleep(max(0.0, start + number * seconds / POINTS - time.monotonic()))
                memory.append(running.memory_mb())

        start = time.monotonic()
        watching = threading.Thread(target=watch)
        watching.start()
        result = load(running.url, CLIENTS, seconds)
        watching.join()
    return memory, result
