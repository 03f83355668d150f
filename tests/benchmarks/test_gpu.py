"""The benchmark for GPU machines, over stand-ins for the CUDA libraries: its logic, none of its figures."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu import models
from export.model.checkpoint import Checkpoint
from tests.helpers.bundles import tokenizer_graphs_of
from tests.helpers.cuda import ROOT, CudaStub


def benchmark(
    folder: Path, stub: CudaStub, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "--sizes", "tiny", "--repeat", "1", *arguments],
        cwd=folder,
        env={**stub.environment(PYTHONPATH=str(ROOT)), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Checkpoint, tiny_bundle: Path) -> Path:
    """A folder with the checkpoint and the bundle that the benchmark would make."""
    folder = tmp_path_factory.mktemp("gpu")
    with pytest.MonkeyPatch.context() as patch, tokenizer_graphs_of(tiny_bundle):
        patch.setattr(models, "FOLDER", folder / models.FOLDER)
        sources = tiny_checkpoint.decoder_source, tiny_checkpoint.tokenizer_source
        for part, source in zip(("model", "tokenizer"), sources, strict=True):
            shutil.copytree(source.folder, models.FOLDER / "tiny" / part)
        models.bundle("tiny")
    return folder


def test_every_part_gets_its_table(cuda_stub: CudaStub, folder: Path) -> None:
    done = benchmark(folder, cuda_stub)
    assert done.returncode == 0, done.stderr
    for title in (
        "card Stub H100",
        "Largest difference of a logit",
        "Share of equal tokens",
        "Prefill of one history",
        "A step behind a history of 392",
        "One request",
        "The batch",
    ):
        assert title in done.stdout
    assert "nan" not in done.stdout


def test_parts_add_to_what_was_measured_before(cuda_stub: CudaStub, folder: Path) -> None:
    done = benchmark(folder, cuda_stub, "--only", "step")
    assert "A step behind a history of 392" in done.stdout
    assert done.stderr.startswith("step: ")


def test_without_a_gpu_it_says_so(cuda_stub: CudaStub, folder: Path) -> None:
    done = benchmark(folder, cuda_stub, STUB_CARDS="0")
    assert done.returncode == 1
    assert "there is nothing to measure: no GPU can be used here" in done.stderr
    assert "no CUDA-capable device is detected" in done.stderr
    assert done.stdout == ""
