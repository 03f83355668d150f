"""One checkpoint, one bundle and one oracle per published size, made once per session."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from export.bundle import Plan, export_bundle
from export.checkpoint import Checkpoint
from export.onnx_export import export_decoder
from export.sizes import SIZES
from inference_server.bundle import DECODER_FILE
from inference_server.engine import Engine
from tests.fixtures_bundle import random_checkpoint
from tests.parity.oracle import oracle_predictor


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

        def export(*arguments: Any, shared_prefix: bool) -> None:
            file: Path = arguments[-1]
            if shared_prefix:
                shutil.copy(file.parent / DECODER_FILE, file)
            else:
                export_decoder(*arguments)

        patch.setattr("export.bundle.export_decoder", export)
        patch.setattr("export.bundle.verify_decoder", lambda *_: {})
        yield


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Pair]:
    """A function from a size's name to its Pair; the sizes keep to a context of 512 here."""
    made: dict[str, Pair] = {}

    def of(size: str) -> Pair:
        if size not in made:
            made.clear()  # one model at a time: base and its oracle take a gigabyte
            folder = tmp_path_factory.mktemp(size)
            checkpoint = random_checkpoint(folder, size, seed=1)
            max_context = min(512, SIZES[size].max_context)
            with nullcontext() if size == "tiny" else _only_what_the_oracle_checks():
                export_bundle(Plan(checkpoint, max_context), folder / "bundle")
            engine = Engine.load(folder / "bundle", threads=1)
            oracle = oracle_predictor(checkpoint, max_context)
            made[size] = Pair(checkpoint, folder / "bundle", engine, oracle, max_context)
        return made[size]

    return of
