"""Fixtures: tiny random checkpoints, exported once per test session."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from export.bundle import Plan, export_bundle
from export.decoder_export import DecoderExport
from export.model.adapter import Adapter, load_adapter
from export.model.checkpoint import Checkpoint, load_checkpoint, randomise, save_checkpoint
from export.model.decoder import KronosDecoder
from export.model.event_encoder import EventEncoder, TrainedEvents
from export.model.sizes import SIZES
from export.model.tokenizer import KronosTokenizer
from tests.helpers.adapters import write_adapter
from tests.helpers.once import once_for_all_workers

# Only the dependency on events of a random EventEncoder is tested: large weights make it visible.
EVENT_GAIN = 4.0


def random_checkpoint(folder: Path, size: str, seed: int, layers: int | None = None) -> Checkpoint:
    """Save and load a checkpoint of a published size, or of fewer layers of it, with random weights.

    The published sizes share one tokenizer architecture, so one seed gives them one tokenizer.
    """
    config = SIZES[size].decoder
    decoder = KronosDecoder(replace(config, n_layers=min(config.n_layers, layers or config.n_layers)))
    tokenizer = KronosTokenizer(SIZES[size].tokenizer)
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


@contextmanager
def decoder_graphs_in(folder: Path) -> Iterator[None]:
    """Keep the graphs of one decoder without an adapter in a folder: tracing them again takes long."""
    folder.mkdir(exist_ok=True)
    write_steps, write_history = DecoderExport.write_steps, DecoderExport.write_history

    def kept(name: str, adapter: Adapter | None, file: Path, write: Callable[[], None]) -> None:
        if adapter is None and (folder / name).is_file():
            shutil.copy(folder / name, file)
            return
        write()
        if adapter is None:
            shutil.copy(file, folder / name)

    def steps(self: DecoderExport, adapter: Adapter | None, file: Path, *, shared_prefix: bool) -> None:
        name = f"{self.precision}-{'paths' if shared_prefix else 'decoder'}.onnx"
        kept(name, adapter, file, lambda: write_steps(self, adapter, file, shared_prefix=shared_prefix))

    def history(self: DecoderExport, adapter: Adapter | None, file: Path) -> None:
        kept(f"{self.precision}-history.onnx", adapter, file, lambda: write_history(self, adapter, file))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DecoderExport, "write_steps", steps)
        patch.setattr(DecoderExport, "write_history", history)
        yield


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A 2-layer checkpoint with random weights; its folders are named by its sources."""
    return random_checkpoint(tmp_path_factory.mktemp("tiny"), "tiny", seed=1)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Checkpoint) -> Path:
    """Bundle of the tiny checkpoint with an EventEncoder (alignment "next"), max_context 512."""
    events = random_events(tiny_checkpoint.decoder.config.d_model)
    plan = Plan(tiny_checkpoint, 512, events=events, events_name="random")

    def make(out: Path) -> None:
        with decoder_graphs_in(out.with_name("tiny-graphs")):
            export_bundle(plan, out)

    return once_for_all_workers(tmp_path_factory, "tiny", make)


@pytest.fixture(scope="session")
def tiny_base_bundle(
    tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Checkpoint, tiny_bundle: Path
) -> Path:
    """Bundle of the tiny checkpoint without events."""

    def make(out: Path) -> None:
        with tokenizer_graphs_of(tiny_bundle), decoder_graphs_in(out.with_name("tiny-graphs")):
            export_bundle(Plan(tiny_checkpoint, 512), out)

    return once_for_all_workers(tmp_path_factory, "tiny-base", make)


@pytest.fixture(scope="session")
def tiny_int8_bundle(
    tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Checkpoint, tiny_bundle: Path
) -> Path:
    """Bundle of the tiny checkpoint in 8 bits, without events."""

    def make(out: Path) -> None:
        with tokenizer_graphs_of(tiny_bundle):
            export_bundle(Plan(tiny_checkpoint, 512, "int8"), out)

    return once_for_all_workers(tmp_path_factory, "tiny-int8", make)


@pytest.fixture(scope="session")
def adapter_bundle(
    tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Checkpoint, tiny_bundle: Path
) -> Path:
    """Bundle of the tiny checkpoint with a random adapter on every layer."""

    def make(out: Path) -> None:
        decoder = tiny_checkpoint.decoder
        layers = ["transformer.0.self_attn", "transformer.1.self_attn", "dep_layer.cross_attn"]
        adapter = load_adapter(write_adapter(out.with_name("tiny-lora"), decoder, layers), decoder)
        plan = Plan(tiny_checkpoint, 512, events=random_events(decoder.config.d_model), adapter=adapter)
        with tokenizer_graphs_of(tiny_bundle), decoder_graphs_in(out.with_name("tiny-graphs")):
            export_bundle(plan, out)

    return once_for_all_workers(tmp_path_factory, "tiny-adapter", make)
