"""One checkpoint, one bundle and one oracle per published size, made once per session."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from export.bundle import Plan, export_bundle
from export.decoder_export import export_decoder
from export.model.checkpoint import Checkpoint
from export.onnx_export import export_decoder_of_tokens, export_encoder
from inference_server.engine.bundle import DECODE_FILE, DECODER_FILE, ENCODE_FILE
from inference_server.engine.engine import Engine
from tests.helpers.bundles import once_for_all_workers, random_checkpoint, tokenizer_graphs_of
from tests.helpers.oracle import oracle_predictor

CONTEXT = 512


@dataclass(frozen=True)
class Pair:
    """Our engine and upstream's predictor over the same weights."""

    checkpoint: Checkpoint
    bundle: Path
    engine: Engine
    oracle: Any
    max_context: int


@contextmanager
def _only_what_the_oracle_checks() -> Iterator[None]:
    """Export without the graph for many paths and without the verification.

    The oracle is the verification here, of requests with few paths; the tiny size has it all.
    """
    with pytest.MonkeyPatch.context() as patch:

        def export(*arguments: Any, shared_prefix: bool = False) -> None:
            file: Path = arguments[-1]
            if shared_prefix:
                shutil.copy(file.parent / DECODER_FILE, file)
            else:
                export_decoder(*arguments)

        patch.setattr("export.bundle.export_decoder", export)
        patch.setattr("export.bundle.verify_decoder", lambda *_: {})
        yield


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Callable[[str], Pair]:
    """A function from a size's name to its Pair; the sizes keep to a context of 512 here."""
    made: dict[str, Pair] = {}

    def of(size: str) -> Pair:
        if size not in made:
            made.clear()  # one model at a time: base and its oracle take a gigabyte
            if size == "tiny":
                checkpoint = request.getfixturevalue("tiny_checkpoint")
                bundle = request.getfixturevalue("tiny_base_bundle")
            else:
                checkpoint, bundle = _exported(size, tmp_path_factory)
            engine = Engine.load(bundle, threads=1)
            made[size] = Pair(checkpoint, bundle, engine, oracle_predictor(checkpoint, CONTEXT), CONTEXT)
        return made[size]

    return of


def _exported(size: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkpoint, Path]:
    folder = tmp_path_factory.mktemp(size)
    checkpoint = random_checkpoint(folder, size, seed=1)

    def tokenizer_graphs(out: Path) -> None:
        out.mkdir()
        export_encoder(checkpoint.tokenizer, out / ENCODE_FILE)
        export_decoder_of_tokens(checkpoint.tokenizer, out / DECODE_FILE)

    # The sizes have one tokenizer: what differs in its configuration matters to its training alone.
    graphs = once_for_all_workers(tmp_path_factory, "published-tokenizer", tokenizer_graphs)
    with _only_what_the_oracle_checks(), tokenizer_graphs_of(graphs):
        export_bundle(Plan(checkpoint, CONTEXT), folder / "bundle")
    return checkpoint, folder / "bundle"
