"""Measures one request to the engine and to the upstream predictor: mini, small and base, 1 and 20 paths.

``python -m benchmarks.engine [SIZE …]`` prints a Markdown table.
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from benchmarks.market import job
from benchmarks.models import MAX_CONTEXT, PUBLISHED, bundle, checkpoint
from inference_server.engine.engine import Engine
from inference_server.engine.jobs import ForecastJob
from tests.helpers.oracle import COLUMNS, kronos, oracle_predictor

PRED_LEN = 120
PATHS = (1, 20)
# lookback, context_stride: exact; sliding as upstream does; sliding by 64
CASES = ((392, 1), (512, 1), (512, 64))
NOTE = (
    f"pred_len {PRED_LEN}, hourly BTC-USD candles, random weights, float32. Upstream is timed on some steps "
    "at the first and the last context length and scaled to all steps; so is this engine where the window "
    "slides at every step (†). All other requests are timed completely; medians of 3 where one takes under "
    "20 s."
)


def measure(size: str) -> list[dict[str, Any]]:
    """Seconds of a request in each of `CASES`, to this engine and to upstream."""
    engine = Engine.load(bundle(size, "events"))
    engine.warm_up()
    predictor = oracle_predictor(checkpoint(size), MAX_CONTEXT)
    rows = []
    upstream: dict[tuple[int, int], float] = {}
    for lookback, stride in CASES:
        for paths in PATHS:
            request = job(lookback, PRED_LEN, sample_count=paths, context_stride=stride, top_p=0.9)
            slides = stride == 1 and lookback + PRED_LEN > MAX_CONTEXT + 1
            seconds = (
                _scaled(lambda r: engine.forecast([r]), request) if slides else _complete(engine, request)
            )
            if (lookback, paths) not in upstream:
                upstream[lookback, paths] = _scaled(lambda r: _upstream(predictor, r), request)
            rows.append(
                {
                    "size": size,
                    "lookback": lookback,
                    "stride": stride,
                    "paths": paths,
                    "engine": seconds,
                    "upstream": upstream[lookback, paths],
                    "scaled": slides,
                }
            )
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def _complete(engine: Engine, request: ForecastJob) -> float:
    times: list[float] = []
    while not times or (len(times) < 3 and times[0] < 20):
        times.append(_seconds(lambda: engine.forecast([request])))
    return statistics.median(times)


def _scaled(run: Callable[[ForecastJob], Any], request: ForecastJob) -> float:
    """Seconds of a complete request, extrapolated from some steps at its shortest and its longest context.

    A request of one step gives the constant part; the difference to a request of more steps, as many as fit
    in about 5 seconds, gives the time of a step.
    """
    first = len(request.candles)
    last = min(first + PRED_LEN - 1, MAX_CONTEXT)
    steps, single = [], 0.0
    for length in sorted({first, last}, reverse=True):
        single = _seconds(lambda n=length: run(_of_length(request, n, 1)))
        if single < 5:  # the first call may have had cold caches
            single = min(single, _seconds(lambda n=length: run(_of_length(request, n, 1))))
        more = max(1, min(16, int(5 / single)))
        longer = _seconds(lambda n=length, k=more: run(_of_length(request, n, 1 + k)))
        steps.append((longer - single) / more)
    return single + (PRED_LEN - 1) * statistics.mean(steps)


def _of_length(request: ForecastJob, length: int, pred_len: int) -> ForecastJob:
    window = job(length, pred_len)
    return replace(
        request,
        candles=window.candles,
        timestamps=window.timestamps,
        future_timestamps=window.future_timestamps,
    )


def _upstream(predictor: Any, request: ForecastJob) -> None:
    import pandas as pd

    frame = pd.DataFrame(request.candles, columns=COLUMNS)
    past, future = (pd.Series(pd.to_datetime(t)) for t in (request.timestamps, request.future_timestamps))
    predictor.predict(
        frame,
        past,
        future,
        len(future),
        T=1.0,
        top_k=0,
        top_p=0.9,
        sample_count=request.sample_count,
        verbose=False,
    )


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| model | lookback | context_stride | paths | this engine | upstream | times faster |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        mark = "†" if r["scaled"] else ""
        lines.append(
            f"| {r['size']} | {r['lookback']} | {r['stride']} | {r['paths']} | {r['engine']:.2f} s{mark} | "
            f"{r['upstream']:.1f} s | {_times(r['upstream'] / r['engine'])} |"
        )
    return "\n".join([*lines, "", NOTE])


def _times(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 10 else f"{ratio:.0f}"


if __name__ == "__main__":
    assert kronos is not None
    sizes = sys.argv[1:] or PUBLISHED
    print(table([row for size in sizes for row in measure(size)]))
