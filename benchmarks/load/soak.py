"""Memory of the server under a steady load: it has to end where it was once it was warm."""

import tempfile
import threading
from pathlib import Path

from benchmarks.load import servers
from benchmarks.load.closed_loop import load
from benchmarks.models import bundle

CLIENTS = 8
POINTS = 10


def measure(size: str, seconds: float) -> str:
    """The table of memory over the time, and its growth over the second half."""
    with tempfile.TemporaryDirectory() as folder, servers.ours(bundle(size), Path(folder) / "log") as running:
        before = running.memory_mb()
        memory: list[float] = []
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(seconds / POINTS):
                memory.append(running.memory_mb())

        watching = threading.Thread(target=watch)
        watching.start()
        seen = load(running.url, CLIENTS, seconds)
        ended.set()
        watching.join()
    shown = [before, *memory[:POINTS]]
    ticks = [f"{number * seconds / POINTS / 60:.1f} min" for number in range(len(shown))]
    rows = [ticks, ["---"] * len(shown), [f"{one:.0f} MB" for one in shown]]
    growth = memory[-1] - memory[len(memory) // 2]
    errors = {outcome: count for outcome, count in seen.outcomes.items() if outcome != "200"}
    note = (
        f"{size}, {CLIENTS} clients for {seconds:g} s, {seen.outcomes['200']} forecasts, other outcomes: "
        f"{errors or 'none'}. Growth over the second half: {growth:+.1f} MB."
    )
    return "\n".join([*(f"| {' | '.join(row)} |" for row in rows), "", note])
