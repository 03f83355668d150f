"""Fixtures: tiny random checkpoints, exported once per test session."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import torch
from filelock import FileLock

from export.bundle import Plan, export_bundle
from export.decoder_export import export_decoder
from export.model.adapter import load_adapter
from export.model.checkpoint import Checkpoint, load_checkpoint, randomise, save_checkpoint
from export.model.decoder import KronosDecoder
from export.model.event_encoder import EventEncoder, TrainedEvents
from export.model.sizes import SIZES
from export.model.tokenizer import KronosTokenizer
from inference_server.engine.bundle import (
    BRANCHES_DATA_FILE,
    BRANCHES_FILE,
    DECODER_FILE,
    MANIFEST_FILE,
    PATHS_FILE,
    content_version,
    file_entry,
    load_manifest,
)
from tests.helpers.adapters import write_adapter

# Only the dependency on events of a random EventEncoder is tested: large weights make it visible.
EVENT_GAIN = 4.0


def random_checkpoint(folder: Path, size: str, seed: int) -> Checkpoint:
    """Save and load a checkpoint of a published size with random weights.

    The published sizes share one tokenizer architecture, so one seed gives them one tokenizer.
    """
    decoder, tokenizer = KronosDecoder(SIZES[size].decoder), KronosTokenizer(SIZES[size].tokenizer)
    randomise(decoder, seed)
    randomise(tokenizer, seed + 1)
    save_checkpoint(decoder, folder / "model")
    save_checkpoint(tokenizer, folder / "tokenizer")
    return load_checkpoint(str(folder / "model"), str(folder / "tokenizer"))


def random_events(d_model: int) -> TrainedEvents:
    """A random EventEncoder with the alignment of those we train."""
    torch.manual_seed(5)
    encoder = EventEncoder(d_model)
    with torch.no_grad():
        encoder.proj.weight *= EVENT_GAIN
    return TrainedEvents(encoder.eval(), "next")


@contextmanager
def tokenizer_graphs_of(bundle: Path) -> Iterator[None]:
    """Take the tokenizer's graphs from a bundle of the same tokenizer: tracing them again takes long."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("export_encoder", "export_decoder_of_tokens"):
            patch.setattr(f"export.bundle.{name}", lambda _, file: shutil.copy(bundle / file.name, file))
        yield


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A 2-layer checkpoint with random weights; its folders are named by its sources."""
    return random_checkpoint(tmp_path_factory.mktemp("tiny"), "tiny", seed=1)


def once_for_all_workers(
    tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]
) -> Path:
    """A folder that the first worker process of a run to need it makes; `make` is given its path."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    out = shared / name
    with FileLock(shared / f"{name}.lock"):
        if not out.is_dir():
            make(out)
    return out


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Checkpoint) -> Path:
    """Bundle of the tiny checkpoint with an EventEncoder (alignment "next"), max_context 512."""
    events = random_events(tiny_checkpoint.decoder.config.d_model)
    plan = Plan(tiny_checkpoint, 512, events=events, events_name="random")
    return once_for_all_workers(tmp_path_factory, "tiny", lambda out: export_bundle(plan, out))


@pytest.fixture(scope="session")
def tiny_base_bundle(
    tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Checkpoint, tiny_bundle: Path
) -> Path:
    """Bundle of the tiny checkpoint without events."""
    with tokenizer_graphs_of(tiny_bundle):
        return once_for_all_workers(
            tmp_path_factory, "tiny-base", lambda out: export_bundle(Plan(tiny_checkpoint, 512), out)
        )


@pytest.fixture(scope="session")
def adapter_bundles(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_checkpoint: Checkpoint,
    tiny_bundle: Path,
    tiny_base_bundle: Path,
) -> Path:
    """Bundles of the tiny checkpoint with a random adapter on every layer, in both layouts that are read.

    `branches` is as exports write it; `gated` has the adapter in `decoder.onnx` and `paths.onnx`.
    """

    def make(out: Path) -> None:
        decoder = tiny_checkpoint.decoder
        layers = ["transformer.0.self_attn", "transformer.1.self_attn", "dep_layer.cross_attn"]
        adapter = load_adapter(write_adapter(out / "adapter", decoder, layers), decoder)
        parts = out / "parts"
        parts.mkdir()

        def export(decoder, adapter, max_context, dtype, file, *, shared_prefix=False):  # type: ignore[no-untyped-def]
            if adapter is None:  # tracing the base model again takes long
                shutil.copy(tiny_base_bundle / (PATHS_FILE if shared_prefix else DECODER_FILE), file)
                return
            export_decoder(decoder, adapter, max_context, dtype, file, shared_prefix=shared_prefix)
            shutil.copy(file, parts)

        plan = Plan(tiny_checkpoint, 512, events=random_events(decoder.config.d_model), adapter=adapter)
        with tokenizer_graphs_of(tiny_bundle), pytest.MonkeyPatch.context() as patch:
            patch.setattr("export.bundle.export_decoder", export)
            patch.setattr("export.decoder_export.export_decoder", export)
            export_bundle(plan, out / "branches")
        gated = Path(shutil.copytree(out / "branches", out / "gated"))
        for name in (BRANCHES_FILE, BRANCHES_DATA_FILE):
            (gated / name).unlink()
        shutil.copy(parts / "adapted_decoder.onnx", gated / DECODER_FILE)
        shutil.copy(parts / "adapted_paths.onnx", gated / PATHS_FILE)
        files = {f.name: file_entry(f) for f in sorted(gated.iterdir()) if f.name != MANIFEST_FILE}
        manifest = msgspec.structs.replace(
            load_manifest(out / "branches"), files=files, version=content_version(files)
        )
        (gated / MANIFEST_FILE).write_bytes(msgspec.json.encode(manifest))

    return once_for_all_workers(tmp_path_factory, "tiny-adapter", make)
