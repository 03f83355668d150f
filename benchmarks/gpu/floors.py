"""Measures lower bounds of a step's time with torch, from the card's memory bandwidth and arithmetic rate."""

import statistics
from typing import Any

import torch

from benchmarks.gpu.card import Card
from benchmarks.gpu.models import checkpoint
from benchmarks.gpu.timings import LOOKBACK, ROWS

SIDE = 8192
COPIED = 1 << 30


def measure(card: Card) -> dict[str, Any]:
    """Bandwidth, rate, and the least time of a step by size and rows; the reason where torch has no CUDA."""
    if not torch.cuda.is_available():
        return {"why": f"torch {torch.__version__} sees no GPU here"}
    device = torch.device("cuda", card.device.index)
    square = torch.randn(SIDE, SIDE, device=device, dtype=torch.float16)
    block = torch.empty(COPIED, device=device, dtype=torch.uint8)
    rate = 2 * SIDE**3 / _seconds(lambda: square @ square)
    bandwidth = 2 * COPIED / _seconds(block.clone)
    steps = []
    for size in card.sizes:
        parameters = sum(p.numel() for p in checkpoint(size).decoder.parameters())
        engine = card.engine(size)
        for rows in ROWS:
            read = 2 * parameters + rows * LOOKBACK * engine.token_bytes
            steps.append(
                {
                    "size": size,
                    "rows": rows,
                    "memory": read / bandwidth,
                    "products": 2 * parameters * rows / rate,
                }
            )
    return {"bandwidth": bandwidth, "rate": rate, "steps": steps}


def _seconds(run: Any) -> float:
    times = []
    for _ in range(10):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / 1000)
    return statistics.median(times)
