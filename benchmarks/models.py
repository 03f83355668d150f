"""Exports bundles of the published sizes with random weights to `.data/benchmarks`.

``python -m benchmarks.models`` exports those that RESULTS.md needs and prints the time of each export.
"""

import hashlib
import time
from pathlib import Path
from typing import Literal

import torch
from torch import nn

import export
import inference_server.engine.bundle
from export.bundle import Plan, export_bundle
from export.decoder_export import DTYPES
from export.model.adapter import TARGETS, Adapter, LowRank
from export.model.checkpoint import Checkpoint, load_checkpoint, randomise, save_checkpoint
from export.model.decoder import KronosDecoder
from export.model.event_encoder import EventEncoder, TrainedEvents
from export.model.layers import Attention
from export.model.sizes import SIZES
from export.model.tokenizer import KronosTokenizer
from inference_server.engine.devices import GPU_PRECISION
from training.lora import RANK

FOLDER = Path(".data/benchmarks")
PUBLISHED = ("mini", "small", "base")
# What the export writes for the CPU.
PRECISIONS = tuple(precision for precision in DTYPES if precision != GPU_PRECISION)
MAX_CONTEXT = 512
Kind = Literal["base-only", "events", "adapter"]
LABELS: dict[Kind, str] = {
    "base-only": "base-only",
    "events": "with EventEncoder",
    "adapter": "with EventEncoder and adapter",
}


def checkpoint(size: str) -> Checkpoint:
    """Random weights of a published size, the same on every machine."""
    folder = FOLDER / size
    if not (folder / "tokenizer" / "model.safetensors").is_file():
        modules: dict[str, KronosDecoder | KronosTokenizer] = {
            "model": KronosDecoder(SIZES[size].decoder),
            "tokenizer": KronosTokenizer(SIZES[size].tokenizer),
        }
        for seed, (part, module) in enumerate(modules.items()):
            randomise(module, seed)
            save_checkpoint(module, folder / part)
    return load_checkpoint(str(folder / "model"), str(folder / "tokenizer"))


def bundle(size: str, kind: Kind = "base-only", precision: str = "fp32") -> Path:
    """A bundle of a size: base-only, with a random EventEncoder, or with that and a random adapter.

    It is exported where there is none, or where the code of the export has changed since.
    """
    name = kind if precision == "fp32" else f"{kind}-{precision}"
    out = FOLDER / size / name
    exporter, record = exporter_version(), out.parent / f"{name}.exporter"
    if not out.is_dir() or not record.is_file() or record.read_text() != exporter:
        loaded = checkpoint(size)
        torch.manual_seed(0)
        encoder = EventEncoder(loaded.decoder.config.d_model).eval()
        events = None if kind == "base-only" else TrainedEvents(encoder, "next")
        adapter = _random_adapter(loaded.decoder) if kind == "adapter" else None
        start = time.perf_counter()
        export_bundle(Plan(loaded, MAX_CONTEXT, precision, events=events, adapter=adapter), out)
        took = f"{size} {LABELS[kind]}, {precision}: {time.perf_counter() - start:.0f} s"
        (out.parent / f"{name}.seconds").write_text(f"{took}\n")
        record.write_text(exporter)
    return out


def exporter_version() -> str:
    """A hash over the code that decides what is in a bundle."""
    sources = [*sorted(Path(export.__path__[0]).rglob("*.py")), Path(inference_server.engine.bundle.__file__)]
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _random_adapter(decoder: KronosDecoder) -> Adapter:
    """An adapter of the trained rank with random weights, on all attention layers."""
    updates = {
        name: {
            target: LowRank(
                torch.randn(RANK, linear.in_features) / linear.in_features**0.5,
                torch.randn(linear.out_features, RANK) * 0.1,
            )
            for target in TARGETS
            if isinstance(linear := getattr(layer, target), nn.Linear)
        }
        for name, layer in decoder.named_modules()
        if isinstance(layer, Attention)
    }
    return Adapter(RANK, updates)


def export_times() -> list[str]:
    """The time of each export, as text."""
    files = [file for size in PUBLISHED for file in sorted((FOLDER / size).glob("*.seconds"))]
    return [file.read_text().strip() for file in files]


if __name__ == "__main__":
    for name in PUBLISHED:
        bundle(name, "events")
    for name in ("mini", "base"):  # what event_overhead compares
        bundle(name)
        bundle(name, "adapter")
    print("\n".join(export_times()))
