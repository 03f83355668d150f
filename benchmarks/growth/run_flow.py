"""One run of predict-batch in a process of its own; prints its figures as JSON."""

import json
import resource
import sys
import time
from typing import Any

from benchmarks.growth.market import AS_OF, names
from flows.predict import predict_batch


def figures(count: int, parameters: dict[str, Any]) -> dict[str, Any]:
    """Run the flow for the market's symbols; return seconds, CPU seconds and the peak of memory."""
    parameters = {"timeframe": "1h", "as_of": AS_OF, **parameters}
    predict_batch(symbols=names(1), **parameters)  # everything is imported and connected
    print("READY", flush=True)
    sys.stdin.readline()
    before, start = time.process_time(), time.perf_counter()
    state = predict_batch(symbols=names(count), **parameters, force=True, return_state=True)
    seconds = time.perf_counter() - start
    return {
        "symbols": count,
        "state": state.name,
        "message": (state.message or "")[:500],
        "seconds": seconds,
        "cpu_seconds": time.process_time() - before,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }


if __name__ == "__main__":
    print("FIGURES", json.dumps(figures(int(sys.argv[1]), json.loads(sys.argv[2]))), flush=True)
