"""One checkpoint, one bundle and one oracle per published size, made once per session."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from export.bundle import Plan, export_bundle
from export.model.checkpoint import Checkpoint
from export.onnx_export import export_decoder_of_tokens, export_encoder
from inference_server.engine.bundle import DECODE_FILE, ENCODE_FILE
from inference_server.engine.engine import Engine
from tests.helpers.bundles import random_checkpoint, tokenizer_graphs_of
from tests.helpers.once import once_for_all_workers
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


# Widths and heads of the published sizes matter here, and depth costs time: `export` verifies all of it.
LAYERS = 2


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
    checkpoint = random_checkpoint(folder, size, seed=1, layers=LAYERS)

    def tokenizer_graphs(out: Path) -> None:
        out.mkdir()
        export_encoder(checkpoint.tokenizer, out / ENCODE_FILE)
        export_decoder_of_tokens(checkpoint.tokenizer, out / DECODE_FILE)

    # The sizes have one tokenizer: what differs in its configuration matters to its training alone.
    graphs = once_for_all_workers(tmp_path_factory, "published-tokenizer", tokenizer_graphs)
    with tokenizer_graphs_of(graphs), pytest.MonkeyPatch.context() as patch:
        patch.setattr("export.bundle.verify_decoder", lambda *_: {})  # the oracle is the verification here
        export_bundle(Plan(checkpoint, CONTEXT), folder / "bundle")
    return checkpoint, folder / "bundle"
