"""One checkpoint, one bundle and one oracle per published size, made once per session."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from export.bundle import Plan, export_bundle
from export.checkpoint import Checkpoint
from export.sizes import SIZES
from inference_server.engine import Engine
from tests.fixtures_bundle import random_checkpoint, tokenizer_graphs_of
from tests.parity.oracle import oracle_predictor


@dataclass(frozen=True)
class Pair:
    """Our engine and upstream's predictor over the same weights."""

    checkpoint: Checkpoint
    bundle: Path
    engine: Engine
    oracle: Any
    max_context: int


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Pair]:
    """A function from a size's name to its Pair; the sizes keep to a context of 512 here."""
    made: dict[str, Pair] = {}
    tokenizers: dict[bool, Path] = {}  # the published sizes share theirs, tiny has its own

    def of(size: str) -> Pair:
        if size not in made:
            made.clear()  # one model at a time: base and its oracle take a gigabyte
            folder = tmp_path_factory.mktemp(size)
            checkpoint = random_checkpoint(folder, size, seed=1)
            max_context = min(512, SIZES[size].max_context)
            graphs = [done for kind, done in tokenizers.items() if kind == (size == "tiny")]
            with tokenizer_graphs_of(graphs[0]) if graphs else nullcontext():
                export_bundle(Plan(checkpoint, max_context), folder / "bundle")
            tokenizers[size == "tiny"] = folder / "bundle"
            engine = Engine.load(folder / "bundle")
            oracle = oracle_predictor(checkpoint, max_context)
            made[size] = Pair(checkpoint, folder / "bundle", engine, oracle, max_context)
        return made[size]

    return of
