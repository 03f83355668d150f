"""What being able to take events costs: bundles with EventEncoder and adapter against a base-only one.

``python -m benchmarks.event_overhead`` prints a Markdown table.
"""

import statistics
import sys
import time
from dataclasses import dataclass

import numpy as np

from benchmarks.market import job
from benchmarks.models import LABELS, Kind, bundle
from inference_server.batching import Batching
from inference_server.bundle import load_manifest
from inference_server.engine import Engine
from inference_server.jobs import ForecastJob

LOOKBACK, PRED_LEN = 392, 120
ROUNDS = {"mini": 41, "base": 15}


@dataclass(frozen=True)
class Row:
    """What a kind of request costs over the same request to a base-only bundle.

    Attributes
    ----------
    ratios
        Of each round, sorted.
    """

    size: str
    kind: Kind
    events: bool
    ratios: list[float]


def measure() -> list[Row]:
    """Time one path of each size, five requests side by side."""
    rows: list[Row] = []
    for size, rounds in ROUNDS.items():
        engines: dict[Kind, Engine] = {kind: Engine.load(bundle(size, kind)) for kind in LABELS}
        for engine in engines.values():
            engine.warm_up()
        plain = job(LOOKBACK, PRED_LEN, seed=1)
        events = np.random.default_rng(0).normal(size=(LOOKBACK + PRED_LEN, 20)).astype(np.float32)
        with_events = job(LOOKBACK, PRED_LEN, seed=1, events=events)
        asked: list[tuple[Kind, ForecastJob]] = [
            ("base-only", plain),
            *((kind, given) for kind in ("events", "adapter") for given in (plain, with_events)),
        ]
        seconds = []
        for number in range(rounds + 1):
            seconds.append(_side_by_side([(engines[kind], given) for kind, given in asked]))
            print(f"{size} {number}/{rounds}: {seconds[-1]}", file=sys.stderr, flush=True)
        for column, (kind, given) in list(enumerate(asked))[1:]:
            ratios = sorted(one[column] / one[0] for one in seconds[1:])
            rows.append(Row(size, kind, given is with_events, ratios))
    return rows


def _side_by_side(asked: list[tuple[Engine, ForecastJob]]) -> list[float]:
    """Return the seconds of each request while all of them go on in turns, a quantum of work at a time.

    A machine that is slower for a while is so for all: turns are milliseconds apart, requests seconds.
    """
    batches = [Batching(engine) for engine, _ in asked]
    for batching, (_, given) in zip(batches, asked, strict=True):
        batching.submit(given)
    seconds = [0.0] * len(batches)
    turn = 0
    while not all(batching.idle for batching in batches):
        # Everybody follows everybody: whoever is first may find a cooler cache.
        order = range(len(batches)) if turn % 2 else range(len(batches) - 1, -1, -1)
        for number in order:
            if not batches[number].idle:
                start = time.perf_counter()
                batches[number].advance()
                seconds[number] += time.perf_counter() - start
        turn += 1
    return seconds


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table, and what they were measured on."""
    lines = [
        "| model | bundle | request | against base-only | middle half | rounds |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        low, median, high = statistics.quantiles(row.ratios, n=4)
        given = "with events" if row.events else "without events"
        lines.append(
            f"| {row.size} | {LABELS[row.kind]} | {given} | {_percent(median)} | "
            f"{_percent(low)} to {_percent(high)} | {len(row.ratios)} |"
        )
    note = (
        f"1 path, {LOOKBACK} + {PRED_LEN}. In each round a request to a base-only bundle and the four others "
        "go on in turns, a step at a time; medians of the rounds' ratios. "
    )
    return "\n".join([*lines, "", note + _same_files()])


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f} %"


def _same_files() -> str:
    """Say whether a request without events runs the very files of the base-only bundle."""
    same = all(
        load_manifest(bundle(size)).files.items() <= load_manifest(bundle(size, "events")).files.items()
        for size in ROUNDS
    )
    return (
        "All graphs of the base-only bundle are byte for byte in the one with an EventEncoder, which adds a "
        "file: asked without events it does the same work, and its row shows the noise of the measurement."
        if same
        else "The graphs of the base-only bundle and of the one with an EventEncoder differ."
    )


if __name__ == "__main__":
    print(table(measure()))
