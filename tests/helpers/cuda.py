"""Fixtures: stand-in CUDA libraries, and half-precision bundles to run over them."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest

from export.bundle import Plan, export_bundle
from export.model.adapter import load_adapter
from export.model.checkpoint import Checkpoint, load_checkpoint, randomise, save_checkpoint
from export.model.decoder import KronosDecoder
from export.model.sizes import SIZES
from tests.cuda_stub.build import CUDA_MAJOR, build, provider
from tests.helpers.adapters import write_adapter
from tests.helpers.bundles import random_events, tokenizer_graphs_of
from tests.helpers.once import once_for_all_workers

ROOT = Path(__file__).resolve().parents[2]


def why_not() -> str | None:
    """Why the stand-ins cannot be built or used here; None where they can."""
    missing = [tool for tool in ("gcc", "nm") if shutil.which(tool) is None]
    if missing:
        return f"{' and '.join(missing)} is not installed, which builds stand-ins for the CUDA libraries"
    if not provider().is_file():
        return "this ONNX Runtime was built without CUDA: install onnxruntime-gpu"
    if str(ort.cuda_version).split(".")[0] != str(CUDA_MAJOR):
        return f"ONNX Runtime was built for CUDA {ort.cuda_version}; the stand-ins are of {CUDA_MAJOR}"
    real = find_spec("nvidia")
    if real is not None and _has_cudart(real):
        return "CUDA's own libraries are installed and come before stand-ins; torch's CPU build has none"
    return None


def _has_cudart(package: ModuleSpec) -> bool:
    folders = package.submodule_search_locations or ()
    return any(any(Path(folder).glob("*/lib/libcudart.so*")) for folder in folders)


@dataclass(frozen=True)
class Run:
    """What a scenario printed, as JSON, and what it did to the card, by part."""

    printed: Any
    parts: Mapping[str, list[str]]
    errors: str

    def count(self, part: str, *beginnings: str) -> int:
        """Events of a part that begin with one of these."""
        return sum(line.startswith(beginnings) for line in self.parts[part])

    def steps(self, part: str) -> list[str]:
        """Events of a part from its second step to its last; every step begins with the copy of a record."""
        lines = self.parts[part]
        (record, _), *_ = Counter(line for line in lines if line.startswith("COPY D2D")).most_common(1)
        begun = [number for number, line in enumerate(lines) if line == record]
        return lines[begun[1] : begun[-1]]

    def kernels(self, part: str) -> Counter[str]:
        """Launches of a part by mangled name."""
        return Counter(line.split()[1] for line in self.parts[part] if line.startswith("LAUNCH"))


@dataclass(frozen=True)
class CudaStub:
    """A machine whose CUDA libraries are stand-ins."""

    folder: Path

    def environment(self, *, dnn: bool = False, **variables: str) -> dict[str, str]:
        """The environment of a process on that machine, with cuDNN or without."""
        path = str(self.folder) + (f":{self.folder / 'dnn'}" if dnn else "")
        return {**os.environ, "LD_LIBRARY_PATH": path, "KRONOS_THREADS": "1", **variables}

    def run(
        self, tmp_path: Path, scenario: str, *arguments: str | Path, dnn: bool = False, **variables: str
    ) -> Run:
        """Run a scenario of `tests.cuda_stub.scenarios` in a process of its own."""
        log = tmp_path / "cuda.log"
        log.write_text("")
        done = subprocess.run(
            [sys.executable, "-m", "tests.cuda_stub.scenarios", scenario, *arguments],
            cwd=ROOT,
            env=self.environment(dnn=dnn, STUB_LOG=str(log), **variables),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        parts: dict[str, list[str]] = {}
        part: list[str] = []
        for line in log.read_text().splitlines():
            if line.startswith("NOTE "):
                part = parts.setdefault(line.removeprefix("NOTE "), [])
            else:
                part.append(line)
        return Run(json.loads(done.stdout), parts, done.stderr)


@pytest.fixture(scope="session")
def cuda_stub(tmp_path_factory: pytest.TempPathFactory) -> CudaStub:
    """A machine with an H100, as far as ONNX Runtime can tell."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    return CudaStub(once_for_all_workers(tmp_path_factory, "cuda-stub", build))


def base_like_decoder(layers: int) -> KronosDecoder:
    """Random weights with heads as Kronos-base has them, 52 columns, half as many."""
    config = replace(SIZES["tiny"].decoder, n_layers=layers, d_model=416, n_heads=8, ff_dim=64)
    decoder = KronosDecoder(config)
    randomise(decoder, 3)
    return decoder.eval()


@pytest.fixture(scope="session")
def half_bundle(
    tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Checkpoint, tiny_bundle: Path
) -> Path:
    """Bundle in half precision with events and adapter: two layers, heads as Kronos-base has them."""

    def make(out: Path) -> None:
        folder = tmp_path_factory.mktemp("half")
        decoder = base_like_decoder(2)
        save_checkpoint(decoder, folder / "model")
        checkpoint = load_checkpoint(str(folder / "model"), str(tiny_checkpoint.tokenizer_source.folder))
        layers = ["transformer.0.self_attn", "transformer.1.self_attn", "dep_layer.cross_attn"]
        adapter = load_adapter(write_adapter(folder / "adapter", decoder, layers), decoder)
        events = random_events(decoder.config.d_model)
        with tokenizer_graphs_of(tiny_bundle):
            export_bundle(Plan(checkpoint, 512, precision="fp16", events=events, adapter=adapter), out)

    return once_for_all_workers(tmp_path_factory, "half", make)
