"""Measures the engine's correctness and speed on a GPU; ``python -m benchmarks.gpu`` prints a Markdown page.

Needs a CUDA build of ONNX Runtime, torch (with CUDA for the floors and for upstream) and the requirements of
the export; no network and no database. Each part writes its figures to ``.data/benchmarks/gpu`` as it ends:
an interrupted run continues with ``--only`` and the missing parts.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.gpu import correctness, floors, timings, upstream
from benchmarks.gpu.card import Card, facts
from benchmarks.gpu.models import FOLDER, bundle
from benchmarks.gpu.report import page
from inference_server.engine.device import DeviceError
from inference_server.engine.devices import gpu

# Correctness first, then speed.
PARTS: dict[str, Callable[[Card], Any]] = {
    "logits": correctness.logits,
    "seeds": correctness.seeds,
    "prefill": timings.prefill,
    "step": timings.step,
    "predict": timings.predict,
    "batch": timings.batch,
    "floors": floors.measure,
    "upstream": upstream.measure,
}


def main() -> int:
    """Run the named parts, or all; print the page with all results so far."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, of {','.join(PARTS)}")
    parser.add_argument(
        "--sizes", nargs="+", default=["mini", "base"], help="published sizes, with random weights"
    )
    parser.add_argument("--repeat", type=int, default=5, help="runs of which the median counts")
    parser.add_argument("--card", type=int, default=0, help="which card")
    args = parser.parse_args()
    parts = args.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"--only names {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    try:
        device = gpu(args.card, cuda_graphs=True)
    except DeviceError as error:
        print(f"there is nothing to measure: no GPU can be used here: {error}", file=sys.stderr)
        return 1
    for size in args.sizes:
        bundle(size)
    card = Card(device, tuple(args.sizes), args.repeat)
    results = FOLDER / "results"
    results.mkdir(parents=True, exist_ok=True)
    (results / "card.json").write_text(json.dumps(facts(device)))
    for part in parts:
        start = time.perf_counter()
        figures = PARTS[part](card)
        (results / f"{part}.json").write_text(json.dumps(figures))
        print(f"{part}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    print(page({file.stem: json.loads(file.read_text()) for file in results.glob("*.json")}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
