"""Times prefills, steps and complete requests on a card."""

import time
from typing import Any

import numpy as np

from benchmarks.gpu.card import Card, job
from inference_server.engine.decoder import Tokens, greedy
from inference_server.engine.engine import Engine
from inference_server.engine.slots import BURST
from inference_server.engine.step_loop import Caches, StepLoop

LENGTHS = (128, 200, 256, 300, 392, 512)
ROWS = (1, 20, 100, 500)
LOOKBACK, PRED_LEN = 392, 120
SYMBOLS, PATHS = 25, 20


def prefill(card: Card) -> list[dict[str, Any]]:
    """Seconds of a history's prefill: the first and second time with a length, and the median after."""
    rows = []
    for size in card.sizes:
        engine = card.engine(size)
        for length in LENGTHS:
            first, second = (_seconds(engine, length) for _ in range(2))
            again = card.seconds(lambda engine=engine, n=length: _prefill(engine, n))
            rows.append({"size": size, "candles": length, "first": first, "second": second, "median": again})
    return rows


def _seconds(engine: Engine, length: int) -> float:
    start = time.perf_counter()
    _prefill(engine, length)
    engine.device.wait()
    return time.perf_counter() - start


def _prefill(engine: Engine, length: int) -> None:
    tokens = np.arange(length)[None] % 512
    no_conditioning = np.zeros((length, engine.decoder.width), engine.decoder.dtype)
    arguments = Tokens(tokens, tokens, np.arange(length)[None], no_conditioning, np.zeros(1, np.float32))
    engine.decoder.prefill(arguments, engine.max_context, 0)


def step(card: Card) -> list[dict[str, Any]]:
    """Seconds of a step after a history of 392, by rows, with CUDA graphs and without."""
    rows = []
    for size in card.sizes:
        for count in ROWS:
            figures = {"size": size, "rows": count}
            for name, graphs in (("graphs", True), ("eager", False)):
                engine = card.engine(size, cuda_graphs=graphs)
                if count <= engine.slot_count:
                    figures[name] = card.seconds(lambda e=engine, n=count: _burst(e, n)) / BURST
            rows.append(figures)
    return rows


def _burst(engine: Engine, rows: int) -> None:
    assert engine.buckets is not None
    column = np.ones((rows, 1), np.int64)
    no_conditioning = np.zeros((BURST, engine.decoder.width), engine.decoder.dtype)
    positions = np.tile(np.arange(BURST), (rows, 1))
    loop = StepLoop(
        engine.decoder,
        Caches(engine.max_context),
        np.full(rows, LOOKBACK),
        Tokens(column, column, positions, no_conditioning, np.zeros(rows, np.float32)),
        greedy(rows),
        np.zeros((rows, BURST, 2), np.float32),
        engine.buckets.of(rows),
    )
    for _ in range(BURST):
        loop.step()


def predict(card: Card) -> list[dict[str, Any]]:
    """Seconds of one request of each kind."""
    kinds = {
        "1 path": job(LOOKBACK, PRED_LEN),
        "1 path with events": job(LOOKBACK, PRED_LEN, events=True),
        "20 paths": job(LOOKBACK, PRED_LEN, sample_count=20),
        "20 paths with events": job(LOOKBACK, PRED_LEN, sample_count=20, events=True),
        "512 + 120, 1 path, context_stride 1": job(512, PRED_LEN),
        "512 + 120, 1 path, context_stride 64": job(512, PRED_LEN, context_stride=64),
        "512 + 120, 20 paths, context_stride 64": job(512, PRED_LEN, sample_count=20, context_stride=64),
    }
    return [
        {
            "size": size,
            "request": name,
            "seconds": card.seconds(lambda s=size, j=request: card.engine(s).forecast([j])),
        }
        for size in card.sizes
        for name, request in kinds.items()
    ]


def batch(card: Card) -> list[dict[str, Any]]:
    """25 symbols of 20 paths at once, without events and with, and the card's memory for it."""
    rows = []
    for size in card.sizes:
        engine = card.engine(size)
        for events in (False, True):
            jobs = [job(LOOKBACK, PRED_LEN, walk, events, sample_count=PATHS) for walk in range(SYMBOLS)]
            rows.append(
                {
                    "size": size,
                    "events": events,
                    "seconds": card.seconds(lambda e=engine, j=jobs: e.forecast(j)),
                    "cache": engine.cache_bytes,
                    "graphs": engine.graph_bytes,
                    "slots": engine.slot_count,
                    "free": card.device.free_bytes,
                }
            )
    return rows
