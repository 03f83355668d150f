"""The engine on a GPU: is it right, and how fast? ``python -m benchmarks.gpu`` prints one Markdown page.

Needs a CUDA build of ONNX Runtime, torch (with CUDA for the floors and for upstream) and what the export
needs; no network and no database. Each part writes its figures to ``.data/benchmarks/gpu`` as it ends: a run
that was cut short goes on with ``--only`` and the parts that are missing.
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

# In the order of what one wants to know first.
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
    """Run the parts that are named, or all; print the page of all that has been measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, of {','.join(PARTS)}")
    parser.add_argument(
        "--sizes", nargs="+", default=["mini", "base"], help="published sizes, with random weights"
    )
    parser.add_argument("--repeat", type=int, default=5, help="runs of which the median counts")
    parser.add_argument("--card", type=int, default=0, help="which card")
    given = parser.parse_args()
    wanted = given.only.split(",")
    if unknown := set(wanted) - set(PARTS):
        parser.error(f"--only names {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    try:
        device = gpu(given.card, cuda_graphs=True)
    except DeviceError as error:
        print(f"there is nothing to measure: no GPU can be used here: {error}", file=sys.stderr)
        return 1
    for size in given.sizes:
        bundle(size)
    card = Card(device, tuple(given.sizes), given.repeat)
    results = FOLDER / "results"
    results.mkdir(parents=True, exist_ok=True)
    (results / "card.json").write_text(json.dumps(facts(device)))
    for part in wanted:
        begun = time.perf_counter()
        figures = PARTS[part](card)
        (results / f"{part}.json").write_text(json.dumps(figures))
        print(f"{part}: {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    print(page({file.stem: json.loads(file.read_text()) for file in results.glob("*.json")}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
