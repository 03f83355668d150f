"""Measures what this machine can do at best, and how far a model's prefills and steps are from it."""

import statistics
import sys
from typing import Any, Final

from benchmarks.market import job
from benchmarks.models import PRECISIONS, bundle
from benchmarks.performance import phases, products
from inference_server.engine.bundle import DECODER_FILE
from inference_server.engine.engine import Engine

SIZE: Final = "base"
LOOKBACK: Final = 392
# Paths of one request; from 8 on they share the cache of their history.
PATHS: Final = (1, 20, 64)
STEPS: Final = 16
_REPEATS: Final = 3


def measure() -> list[dict[str, Any]]:
    """Return rates by rows, and seconds of prefills and steps with their floors in seconds."""
    engines = {precision: Engine.load(bundle(SIZE, "events", precision)) for precision in PRECISIONS}
    width = next(iter(engines.values())).manifest.d_model
    by_rows = {rows: products.rates(rows, width) for rows in (*PATHS, LOOKBACK)}
    rows: list[dict[str, Any]] = [
        {"what": "rate", "rows": count, **rates} for count, rates in by_rows.items()
    ]
    for precision, engine in engines.items():
        engine.warm_up()
        weights, nbytes = products.weights_of(bundle(SIZE, "events", precision) / DECODER_FILE)
        bandwidth = products.read_bandwidth(nbytes)
        rows.append({"what": "bandwidth", "precision": precision, "bytes": nbytes, "bandwidth": bandwidth})
        for paths in PATHS:
            request = job(LOOKBACK, STEPS, sample_count=paths)
            runs = [phases.run(engine, [request]) for _ in range(_REPEATS)]
            timed = {"step": (paths, statistics.median(run.step_s for run in runs))}
            if paths == 1:
                timed["prefill"] = (LOOKBACK, statistics.median(run.prefill_s for run in runs))
            for phase, (count, seconds) in timed.items():
                # A step reads the cache of the history beside the weights; all its paths read it once.
                cache = LOOKBACK * engine.token_bytes if phase == "step" else 0
                operations = 2 * count * weights
                row = {
                    "what": phase,
                    "precision": precision,
                    "rows": count,
                    "seconds": seconds,
                    "memory_s": (nbytes + cache) / bandwidth,
                    "products_s": operations / best_rate(by_rows[count], precision),
                }
                print(row, file=sys.stderr, flush=True)
                rows.append(row)
    return rows


def best_rate(rates: dict[str, float], precision: str) -> float:
    """Return the rate of the fastest operator for a precision.

    The model need not use the fastest one of 8-bit weights.
    """
    of_floats = products.FLOAT_OPERATORS
    return max(rate for name, rate in rates.items() if name in of_floats or precision != "fp32")


def floor_of(row: dict[str, Any]) -> float:
    """Return the least seconds of a prefill or step: it can beat neither the memory nor the products."""
    return float(max(row["memory_s"], row["products_s"]))
