"""Times one request to the engine and to upstream's predictor, in turns on the same machine."""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final

import pandas as pd

from benchmarks.market import job
from benchmarks.models import MAX_CONTEXT, PRECISIONS, bundle, checkpoint
from inference_server.engine.engine import Engine
from inference_server.engine.jobs import ForecastJob
from tests.helpers.oracle import COLUMNS, oracle_predictor

LOOKBACK: Final = 392
PRED_LEN: Final = 120
PATHS: Final = (1, 20)
# Upstream's steps are timed for about so long; the others follow from them.
UPSTREAM_BUDGET_S: Final = 4.0
# A request that would take longer is timed on its first steps.
LONGEST_S: Final = 240.0
_FIRST_STEPS: Final = 2
_ROUNDS: Final = 3
# No new round begins after so long.
_ROUNDS_S: Final = 30.0
_SHORT_S: Final = 30.0
_SHORTEST: Final = 32


def exact(size: str) -> list[dict[str, Any]]:
    """Time requests whose context never slides, in every precision of the CPU."""
    return _measure(size, LOOKBACK, [1])


def sliding(size: str) -> list[dict[str, Any]]:
    """Time requests over a full context, which slides at every step as upstream's does, or by 64 at once."""
    return _measure(size, MAX_CONTEXT, [1, 64])


def _measure(size: str, lookback: int, strides: list[int]) -> list[dict[str, Any]]:
    """Return median seconds of requests to the engine, by stride and precision, and to upstream."""
    predictor = oracle_predictor(checkpoint(size), MAX_CONTEXT)
    engines = {precision: Engine.load(bundle(size, "events", precision)) for precision in PRECISIONS}
    for engine in engines.values():
        engine.warm_up()
    rows = []
    for paths in PATHS:
        requests = {
            (stride, precision): (
                engine,
                job(lookback, PRED_LEN, sample_count=paths, context_stride=stride, top_p=0.9),
            )
            for stride in strides
            for precision, engine in engines.items()
        }
        # The first call loads libraries and allocates.
        _predict(predictor, _shortened(next(iter(requests.values()))[1], _SHORTEST, 1))
        for (stride, precision), figures in _in_turns(predictor, requests).items():
            rows.append(
                {
                    "size": size,
                    "precision": precision,
                    "lookback": lookback,
                    "pred_len": PRED_LEN,
                    "stride": stride,
                    "paths": paths,
                    **figures,
                }
            )
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def _in_turns(
    predictor: Any, requests: dict[tuple[int, str], tuple[Engine, ForecastJob]]
) -> dict[tuple[int, str], dict[str, Any]]:
    """Return the figures of each request; they differ in stride and precision, which upstream lacks.

    In a round each runs before upstream and, unless it is long, after it again: a phase in which the
    machine is slow meets both.
    """
    of_engine: dict[tuple[int, str], list[float]] = {key: [] for key in requests}
    of_upstream: list[float] = []
    complete: dict[tuple[int, str], bool] = {}
    begun = time.perf_counter()
    while not of_upstream or (len(of_upstream) < _ROUNDS and time.perf_counter() - begun < _ROUNDS_S):
        for turn in range(2):
            for key, (engine, request) in requests.items():
                if turn == 0 or of_engine[key][-1] < _SHORT_S:
                    took, complete[key] = _engine_seconds(engine, request)
                    of_engine[key].append(took)
            if turn == 0:
                _, request = next(iter(requests.values()))
                of_upstream.append(_upstream_seconds(predictor, request))
    return {
        key: {
            "engine": statistics.median(of_engine[key]),
            "upstream": statistics.median(of_upstream),
            "complete": complete[key],
            "rounds": len(of_upstream),
        }
        for key in requests
    }


def _engine_seconds(engine: Engine, request: ForecastJob) -> tuple[float, bool]:
    """Return the seconds of a request, and whether all of it was run.

    A window that slides at every step may cost minutes. Then a request of one step gives the constant part,
    and one of a few steps the time of a step.
    """
    whole = partial(engine.forecast, [request])
    if request.context_stride > 1 or len(request.candles) + PRED_LEN <= MAX_CONTEXT + 1:
        return _seconds(whole), True
    single, few = (
        _seconds(partial(engine.forecast, [_shortened(request, len(request.candles), steps)]))
        for steps in (1, 1 + _FIRST_STEPS)
    )
    # No step takes longer than these few. Times of a small model are too short to be compared.
    if few * PRED_LEN <= LONGEST_S:
        return _seconds(whole), True
    estimate = extrapolated(single, few, _FIRST_STEPS)
    return (estimate, False) if estimate > LONGEST_S else (_seconds(whole), True)


def _upstream_seconds(predictor: Any, request: ForecastJob) -> float:
    """Return upstream's seconds of a request, from some steps at its shortest and at its longest context."""
    first = len(request.candles)
    lengths = {first, min(first + PRED_LEN - 1, MAX_CONTEXT)}
    totals = []
    for length in sorted(lengths):
        one = partial(_predict, predictor, _shortened(request, length, 1))
        single = _seconds(one)
        more = max(1, min(16, int(UPSTREAM_BUDGET_S / single)))
        several = partial(_predict, predictor, _shortened(request, length, 1 + more))
        # What else the machine does only adds to a time. So the shortest ones are compared.
        longer = _seconds(several)
        single, longer = min(single, _seconds(one)), min(longer, _seconds(several))
        totals.append(extrapolated(single, longer, more))
    return statistics.mean(totals)


def extrapolated(single: float, longer: float, more: int, steps: int = PRED_LEN) -> float:
    """Return the seconds of a request of `steps` steps from those of one step and of `more` above it.

    Raises
    ------
    RuntimeError
        The difference is not that of `more` steps: something else kept the machine busy.
    """
    step = (longer - single) / more
    # Where one more is timed, what is done once, by the tokenizer, takes some steps' time at most.
    least = single / 5 if more == 1 else 0.0
    if step <= least:
        raise RuntimeError(
            f"one step took {single:.3g} s and {1 + more} steps {longer:.3g} s, so something else kept the "
            "machine busy: measure this part again"
        )
    return single + (steps - 1) * step


def _shortened(request: ForecastJob, length: int, pred_len: int) -> ForecastJob:
    window = job(length, pred_len)
    return replace(
        request,
        candles=window.candles,
        timestamps=window.timestamps,
        future_timestamps=window.future_timestamps,
    )


def _predict(predictor: Any, request: ForecastJob) -> None:
    frame = pd.DataFrame(request.candles, columns=COLUMNS)
    past, future = (pd.Series(pd.to_datetime(t)) for t in (request.timestamps, request.future_timestamps))
    predictor.predict(
        frame,
        past,
        future,
        len(future),
        T=request.temperature,
        top_k=request.top_k,
        top_p=request.top_p,
        sample_count=request.sample_count,
        verbose=False,
    )


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
