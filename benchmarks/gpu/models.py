"""Exports half-precision bundles of the published sizes with random weights and a random EventEncoder."""

from pathlib import Path

import torch

from export.bundle import Plan, export_bundle
from export.model.checkpoint import Checkpoint, load_checkpoint, randomise, save_checkpoint
from export.model.decoder import KronosDecoder
from export.model.event_encoder import EventEncoder, TrainedEvents
from export.model.sizes import SIZES
from export.model.tokenizer import KronosTokenizer

FOLDER = Path(".data/benchmarks/gpu")
MAX_CONTEXT = 512


def checkpoint(size: str) -> Checkpoint:
    """Random weights of a published size, the same on every machine."""
    folder = FOLDER / size
    if not (folder / "tokenizer" / "model.safetensors").is_file():
        decoder, tokenizer = KronosDecoder(SIZES[size].decoder), KronosTokenizer(SIZES[size].tokenizer)
        randomise(decoder, 0)
        randomise(tokenizer, 1)
        save_checkpoint(decoder, folder / "model")
        save_checkpoint(tokenizer, folder / "tokenizer")
    return load_checkpoint(str(folder / "model"), str(folder / "tokenizer"))


def bundle(size: str) -> Path:
    """The bundle of a size, exported once."""
    out = FOLDER / size / "fp16"
    if not out.is_dir():
        loaded = checkpoint(size)
        torch.manual_seed(0)
        events = TrainedEvents(EventEncoder(loaded.decoder.config.d_model).eval(), "next")
        export_bundle(Plan(loaded, MAX_CONTEXT, precision="fp16", events=events), out)
    return out
