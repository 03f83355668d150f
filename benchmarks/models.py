"""Bundles of the published sizes with random weights, exported once into `.data/benchmarks`.

``python -m benchmarks.models`` makes them all and prints what each export took.
"""

import time
from pathlib import Path

import torch

from export.bundle import Plan, export_bundle
from export.checkpoint import Checkpoint, load_checkpoint, randomise, save_checkpoint
from export.decoder import KronosDecoder
from export.events import EventEncoder, TrainedEvents
from export.sizes import SIZES
from export.tokenizer import KronosTokenizer

FOLDER = Path(".data/benchmarks")
PUBLISHED = ("mini", "small", "base")
MAX_CONTEXT = 512


def checkpoint(size: str) -> Checkpoint:
    """Random weights of a published size, the same on every machine."""
    folder = FOLDER / size
    if not (folder / "tokenizer" / "model.safetensors").is_file():
        for seed, (part, module) in enumerate(
            (
                ("model", KronosDecoder(SIZES[size].decoder)),
                ("tokenizer", KronosTokenizer(SIZES[size].tokenizer)),
            )
        ):
            randomise(module, seed)
            save_checkpoint(module, folder / part)
    return load_checkpoint(str(folder / "model"), str(folder / "tokenizer"))


def bundle(size: str, *, events: bool = False) -> Path:
    """A bundle of a size, base-only or with a random EventEncoder."""
    out = FOLDER / size / ("events" if events else "base-only")
    if not out.is_dir():
        loaded = checkpoint(size)
        torch.manual_seed(0)
        encoder = EventEncoder(loaded.decoder.config.d_model).eval()
        start = time.perf_counter()
        export_bundle(
            Plan(loaded, MAX_CONTEXT, events=TrainedEvents(encoder, "next") if events else None), out
        )
        took = f"{size} {'with events' if events else 'base-only'}: {time.perf_counter() - start:.0f} s"
        (out.parent / f"{out.name}.seconds").write_text(f"{took}\n")
    return out


def export_times() -> list[str]:
    """What each export took, for the report."""
    files = [file for size in PUBLISHED for file in sorted((FOLDER / size).glob("*.seconds"))]
    return [file.read_text().strip() for file in files]


if __name__ == "__main__":
    for name in PUBLISHED:
        bundle(name, events=True)
    for name in ("mini", "base"):  # what event_overhead compares
        bundle(name)
    print("\n".join(export_times()))
