"""Measures the cost of events: bundles with EventEncoder and adapter against a base-only one.

``python -m benchmarks.event_overhead`` prints a Markdown table.
"""

import statistics
import sys
import time
from dataclasses import dataclass

import numpy as np

from benchmarks.market import job
from benchmarks.models import LABELS, Kind, bundle
from inference_server.engine.batching import Batching
from inference_server.engine.bundle import DECODE_FILE, DECODER_FILE, ENCODE_FILE, TIME_FILE, load_manifest
from inference_server.engine.engine import Engine
from inference_server.engine.jobs import ForecastJob

KINDS = list(LABELS)
LOOKBACK, PRED_LEN = 392, 120
LOADS = {"mini": 9, "base": 4}
ROUNDS = {"mini": 5, "base": 3}  # after each load
QUANTA = 20  # batching steps per turn


@dataclass(frozen=True)
class Row:
    """Time of a kind of request over that of the same request without events to a base-only bundle.

    Attributes
    ----------
    ratios
        Median over the rounds, for each load of the engines.
    """

    size: str
    kind: Kind
    events: bool
    ratios: list[float]


def measure() -> list[Row]:
    """Time one path of each size in one thread, two requests to each bundle side by side.

    The time is processor time, which other programs on the machine hardly change. The engines are loaded
    several times in different orders, because memory placement alone makes identical files differ by several
    percent.
    """
    plain = job(LOOKBACK, PRED_LEN, seed=1)
    events = np.random.default_rng(0).normal(size=(LOOKBACK + PRED_LEN, 20)).astype(np.float32)
    with_events = job(LOOKBACK, PRED_LEN, seed=1, events=events)
    shuffled = np.random.default_rng(0)
    rows: list[Row] = []
    for size in LOADS:
        # Apart, because requests with events run the adapter's own weights, which take the place of the
        # others' in the caches.
        for request in (plain, with_events):
            ratios = np.array([_ratios_of_a_load(size, plain, request, shuffled) for _ in range(LOADS[size])])
            rows += [
                Row(size, kind, request is with_events, ratios[:, column].tolist())
                for column, kind in enumerate(KINDS)
                if kind != "base-only"
            ]
    return rows


def _ratios_of_a_load(
    size: str, plain: ForecastJob, request: ForecastJob, shuffled: np.random.Generator
) -> list[float]:
    """Return a request's seconds in each of `KINDS`, over those of `plain` in the base-only bundle.

    Medians of the rounds after the first.
    """
    engines = {
        KINDS[number]: Engine.load(bundle(size, KINDS[number]), threads=1)
        for number in shuffled.permutation(len(KINDS))
    }
    # Twice each: an engine that runs less often has colder caches.
    requests = [
        (engines[kind], plain if kind == "base-only" else request) for kind in KINDS for _ in range(2)
    ]
    rounds = np.array([_side_by_side(requests, shuffled) for _ in range(1 + ROUNDS[size])])[1:]
    seconds = rounds.reshape(len(rounds), len(KINDS), 2).mean(axis=2)
    print(f"{size}: {np.median(seconds, axis=0).round(3).tolist()}", file=sys.stderr, flush=True)
    ratios: list[float] = np.median(seconds / seconds[:, :1], axis=0).tolist()
    return ratios


def _side_by_side(requests: list[tuple[Engine, ForecastJob]], shuffled: np.random.Generator) -> list[float]:
    """Return the processor's seconds for each request while all of them go on in turns of `QUANTA` steps.

    Turns spread a slow phase of the machine over all requests. Their order is random, because a request that
    runs twice in a row has a warmer cache.
    """
    batches = [Batching(engine) for engine, _ in requests]
    for batching, (_, request) in zip(batches, requests, strict=True):
        batching.add(request)
    seconds = [0.0] * len(batches)
    while not all(batching.idle for batching in batches):
        for number in shuffled.permutation(len(batches)):
            start = time.thread_time()
            for _ in range(QUANTA):
                if not batches[number].idle:
                    batches[number].step()
            seconds[number] += time.thread_time() - start
    return seconds


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table, with notes on the measurement."""
    lines = [
        "| model | bundle | request | against base-only | lowest to highest load |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        request = "with events" if row.events else "without events"
        lines.append(
            f"| {row.size} | {LABELS[row.kind]} | {request} | {_percent(statistics.median(row.ratios))} | "
            f"{_percent(min(row.ratios))} to {_percent(max(row.ratios))} |"
        )
    loads = ", ".join(f"{size} {count} times" for size, count in LOADS.items())
    note = (
        f"1 path, {LOOKBACK} + {PRED_LEN}, processor time of one thread. Two requests to each bundle go on "
        f"in turns of {QUANTA} steps, those with events in a comparison of their own. The engines are loaded "
        f"anew ({loads}), because memory placement alone makes identical files differ by several percent; "
        "medians over the loads. "
    )
    return "\n".join([*lines, "", note + _same_files()])


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f} %"


def _same_files() -> str:
    """A sentence on whether requests of few paths without events run the base-only bundle's graphs."""
    same = all(
        load_manifest(bundle(size)).files[name] == load_manifest(bundle(size, kind)).files[name]
        for size in LOADS
        for kind in LABELS
        for name in (ENCODE_FILE, DECODE_FILE, TIME_FILE, DECODER_FILE)
    )
    return (
        "The graphs that this request runs without events are byte for byte the same in all three bundles: "
        "it does the same work, and the rows without events show the noise of the measurement."
        if same
        else "The graphs that this request runs without events differ between the bundles."
    )


if __name__ == "__main__":
    print(table(measure()))
