"""What being able to take events costs: an event-capable bundle against a base-only one, in pairs.

``python -m benchmarks.event_overhead`` prints a Markdown table.
"""

import statistics
import time

import numpy as np

from benchmarks.market import job
from benchmarks.models import bundle
from inference_server.engine import Engine
from inference_server.jobs import ForecastJob

LOOKBACK, PRED_LEN = 392, 120
PAIRS = {"mini": 31, "base": 21}


def measure() -> list[dict[str, float | int | str]]:
    """Median seconds and median paired ratios for one path of each size."""
    rows: list[dict[str, float | int | str]] = []
    for size, pairs in PAIRS.items():
        base, capable = Engine.load(bundle(size)), Engine.load(bundle(size, events=True))
        plain = job(LOOKBACK, PRED_LEN, seed=1)
        events = np.random.default_rng(0).normal(size=(LOOKBACK + PRED_LEN, 20)).astype(np.float32)
        with_events = job(LOOKBACK, PRED_LEN, seed=1, events=events)
        base.warm_up()
        capable.warm_up()
        times = []
        for i in range(pairs + 1):
            runs = [(base, plain), (capable, plain), (capable, with_events)]
            order = range(3) if i % 2 else range(2, -1, -1)  # whoever is first may find a cooler cache
            measured = {k: _seconds(*runs[k]) for k in order}
            times.append([measured[k] for k in range(3)])
        kept = np.array(times[1:])
        rows.append(
            {
                "size": size,
                "pairs": pairs,
                "base": statistics.median(kept[:, 0]),
                "without": statistics.median(kept[:, 1] / kept[:, 0]),
                "with": statistics.median(kept[:, 2] / kept[:, 0]),
            }
        )
    return rows


def _seconds(engine: Engine, request: ForecastJob) -> float:
    start = time.perf_counter()
    engine.forecast([request])
    return time.perf_counter() - start


def table(rows: list[dict[str, float | int | str]]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| model | base-only bundle | event-capable, no events given | events given | pairs |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['size']} | {r['base']:.3f} s | {100 * (float(r['without']) - 1):+.1f} % | "
        f"{100 * (float(r['with']) - 1):+.1f} % | {r['pairs']} |"
        for r in rows
    ]
    note = f"1 path, {LOOKBACK} + {PRED_LEN}; medians of paired runs, alternating order."
    return "\n".join([*lines, "", note])


if __name__ == "__main__":
    print(table(measure()))
