"""Measures reading a (632, 20) event array from a request body: nested lists against base64.

``python -m benchmarks.parsing`` prints a Markdown table.
"""

import base64
import json
import statistics
import time
from typing import Any

import numpy as np

from inference_server.forecast.event_arrays import parse_events
from inference_server.http.bodies import parse_predict

HISTORY, PRED_LEN, RUNS = 512, 120, 200


def measure() -> list[dict[str, Any]]:
    """Median milliseconds from a body's bytes to a checked array, and the body's size."""
    events = np.random.default_rng(0).normal(size=(HISTORY + PRED_LEN, 20)).astype("<f4")
    encoded = {"shape": list(events.shape), "data": base64.b64encode(events.tobytes()).decode()}
    rows = []
    for form, value in (("nested lists", events.tolist()), ("base64", encoded)):
        body = json.dumps({"symbol": "EURUSD", "pred_len": PRED_LEN, "events": value}).encode()
        times = []
        for _ in range(RUNS):
            start = time.perf_counter()
            request, _ = parse_predict(body)
            assert request.events is not None
            array = parse_events(request.events, HISTORY, PRED_LEN)
            times.append(1e3 * (time.perf_counter() - start))
            assert array.shape == events.shape
        rows.append({"form": form, "ms": statistics.median(times), "kB": len(body) / 1e3})
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    lines = ["| events as | body | read and checked in |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {r['form']} | {r['kB']:.0f} kB | {r['ms']:.2f} ms |" for r in rows)])


if __name__ == "__main__":
    print(table(measure()))
