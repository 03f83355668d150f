"""The engine on ONNX Runtime's CUDA provider, over stand-ins for the CUDA libraries."""

import re
from pathlib import Path

import msgspec
import pytest

from export.decoder_export import DecoderExport
from export.graph import cache_layouts
from export.model.sizes import SIZES
from inference_server.engine.bundle import CacheLayout, load_manifest
from inference_server.engine.cuda import provider_options
from tests.helpers.cuda import CudaStub, Run, base_like_decoder

SHAPES = {
    "20 paths": [[20, 60, 6]],
    "1 path": [[1, 120, 6]],
    "sliding": [[5, 120, 6]],
    "mixed": [[3, 20, 6], [4, 30, 6]],
    "20 paths again": [[20, 60, 6]],
}
STEPS = 60


@pytest.fixture(scope="module")
def captured(cuda_stub: CudaStub, half_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return cuda_stub.run(tmp_path_factory.mktemp("captured"), "jobs", half_bundle, "graphs")


@pytest.fixture(scope="module")
def eager(cuda_stub: CudaStub, half_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("eager")
    return cuda_stub.run(folder, "jobs", half_bundle, "eager", dnn=True)


@pytest.mark.parametrize("mode", ["captured", "eager"])
def test_all_kinds_of_jobs_run(mode: str, request: pytest.FixtureRequest) -> None:
    """Without cuDNN and with it; a machine with cuDNN must not behave otherwise."""
    run: Run = request.getfixturevalue(mode)
    assert run.printed["shapes"] == SHAPES
    assert run.printed["device"] == "Stub H100"


def test_nothing_needs_cudnn(eager: Run, captured: Run) -> None:
    for run in (eager, captured):
        for part in run.parts:
            assert not [kernel for kernel in run.kernels(part) if "cudnn" in kernel]


def test_attention_runs_the_kernels_that_are_meant(eager: Run) -> None:
    kernels = eager.kernels("20 paths again")
    # One token a row: the kernel for it (heads of 64), and flash attention for the dependency layer (104).
    assert sum(count for name, count in kernels.items() if "kernel_mha" in name) == 2 * STEPS
    assert sum(count for name, count in kernels.items() if "flash_fwd_splitkv_kernel" in name) >= STEPS
    assert not [name for name in kernels if "fmha_cutlass" in name]


def test_a_step_is_captured_once_and_then_replayed(captured: Run, eager: Run) -> None:
    graphs = captured.printed["graphs"]
    assert graphs == captured.count("warm up", "CAPTURE") > 3
    for part in SHAPES:
        assert captured.count(part, "CAPTURE") == 0
    assert captured.count("20 paths again", "REPLAY") == STEPS
    assert eager.printed["graphs"] == 0
    assert not any(eager.count(part, "CAPTURE", "REPLAY") for part in eager.parts)


def test_inside_a_captured_step_nothing_waits_or_meets_the_host(captured: Run) -> None:
    inside = [line for line in captured.parts["warm up"] if line.endswith("captured")]
    assert inside
    assert not [line for line in inside if "H2D" in line or "D2H" in line]
    assert not [line for line in inside if line.startswith(("SYNC", "MALLOC"))]


@pytest.mark.parametrize("mode", ["captured", "eager"])
def test_between_bursts_steps_meet_the_host_no_more(mode: str, request: pytest.FixtureRequest) -> None:
    """60 steps are two bursts: between them tokens come back, and records and what belongs to them go."""
    steps = request.getfixturevalue(mode).steps("20 paths again")
    assert not [line for line in steps if line.startswith("MALLOC")]
    assert len([line for line in steps if "D2H" in line]) == 1
    assert len([line for line in steps if "H2D" in line]) == 3
    # One wait after eight steps, and one for the tokens.
    assert len([line for line in steps if line.startswith("SYNC")]) <= STEPS / 8 + 1
    # A record in, the tokens drawn out.
    assert len([line for line in steps if "D2D" in line]) <= (2 if mode == "captured" else 4) * STEPS


def test_a_history_is_copied_to_its_paths_by_a_few_boxes(captured: Run) -> None:
    """To 19 rows: 1, 1, 2, 4, 8 and 3 at once, for the blocks' caches and for the dependency layer's."""
    boxes = [line for line in captured.parts["20 paths again"] if line.endswith("box")]
    assert len(boxes) == 6 * 2


def test_a_step_of_kronos_base_is_few_operations(
    cuda_stub: CudaStub, half_bundle: Path, tmp_path: Path
) -> None:
    """Kernels, copies and memsets. Each layer adds as many: one and two tell of Kronos-base's twelve."""
    operations = []
    for layers in (1, 2):
        folder = tmp_path / str(layers)
        folder.mkdir()
        decoder = base_like_decoder(layers)
        DecoderExport(decoder, 512, "fp16").write_for_gpu(None, folder)
        caches = [CacheLayout(c.heads, c.head_dim) for c in cache_layouts(decoder, "fp16")]
        manifest = msgspec.structs.replace(
            load_manifest(half_bundle), caches=caches, has_adapter=False, n_layers=layers, files={}
        )
        (folder / "manifest.json").write_bytes(msgspec.json.encode(manifest))
        run = cuda_stub.run(tmp_path, "step", folder, "24")
        largest = "\n".join(run.parts["capture"]).split("CAPTURE")[-1]
        operations.append(len(re.findall(r" captured$", largest, re.MULTILINE)))
    one, two = operations
    assert two + (SIZES["base"].decoder.n_layers - 2) * (two - one) <= 260


def test_what_the_card_is_asked_for_has_its_reasons() -> None:
    options = provider_options(stream=77, index=1, graphs=True)
    assert options == {
        "device_id": "1",
        "user_compute_stream": "77",
        "sdpa_kernel": "1",  # flash attention, never cuDNN's
        "use_tf32": "0",
        "arena_extend_strategy": "kSameAsRequested",
        "enable_cuda_graph": "1",
    }


GIB = 1 << 30


def test_the_cache_follows_the_card_and_not_the_host(
    cuda_stub: CudaStub, half_bundle: Path, tmp_path: Path
) -> None:
    run = cuda_stub.run(tmp_path, "memory", half_bundle, "0", STUB_MEMORY=str(8 * GIB))
    free, caches = run.printed["free"], run.printed["caches"]
    assert 0.35 * 8 * GIB < caches[0] <= 0.4 * 8 * GIB
    assert 0 < caches[1] <= caches[0]  # a reload, with the old engine still there
    assert free[3] > free[0] - 64 * 2**20  # everything goes with the engines
    assert run.printed["slots"] <= 1024


def test_a_cache_that_does_not_fit_is_tried_smaller(
    cuda_stub: CudaStub, half_bundle: Path, tmp_path: Path
) -> None:
    run = cuda_stub.run(tmp_path, "memory", half_bundle, str(16 * GIB), STUB_MEMORY=str(GIB))
    assert run.printed["caches"][0] < GIB
    assert "half is tried; KRONOS_CACHE_BYTES sets it" in run.errors


@pytest.mark.parametrize("kind", ["auto", "cuda"])
def test_a_gpu_that_works_is_used(cuda_stub: CudaStub, half_bundle: Path, tmp_path: Path, kind: str) -> None:
    run = cuda_stub.run(tmp_path, "choose", half_bundle, kind)
    assert run.printed == {"device": "cuda", "name": "Stub H100", "fallback": None, "graphs": True}
    assert run.errors == ""


def test_a_card_that_captures_no_graphs_runs_without_them(
    cuda_stub: CudaStub, half_bundle: Path, tmp_path: Path
) -> None:
    run = cuda_stub.run(tmp_path, "choose", half_bundle, "auto", STUB_NO_CAPTURE="1")
    assert run.printed == {"device": "cuda", "name": "Stub H100", "fallback": None, "graphs": False}
    assert "runs, but not with CUDA graphs" in run.errors


def test_without_a_card_the_cpu_serves_and_says_why(
    cuda_stub: CudaStub, half_bundle: Path, tmp_path: Path
) -> None:
    run = cuda_stub.run(tmp_path, "choose", half_bundle, "auto", STUB_CARDS="0")
    assert run.printed["device"] == "cpu"
    assert "no CUDA-capable device is detected" in run.printed["fallback"]
    assert "no CUDA-capable device is detected" in run.errors


def test_a_card_that_fails_at_the_first_run_leaves_its_work_to_the_cpu(
    cuda_stub: CudaStub, half_bundle: Path, tmp_path: Path
) -> None:
    run = cuda_stub.run(tmp_path, "choose", half_bundle, "auto", STUB_LAUNCHES="100")
    assert run.printed["device"] == "cpu"
    assert "illegal memory access" in run.printed["fallback"]
    assert "the CPU serves instead of a GPU" in run.errors
    assert "Falling back" not in run.errors  # ONNX Runtime's own way to the CPU, which says nothing of why


def test_a_bundle_for_the_cpu_beside_a_gpu_is_worth_a_warning(
    cuda_stub: CudaStub, tiny_bundle: Path, tmp_path: Path
) -> None:
    run = cuda_stub.run(tmp_path, "choose", tiny_bundle, "auto")
    assert run.printed["device"] == "cpu"
    assert "Stub H100 is here" in run.printed["fallback"]
    assert "export with --precision fp16" in run.errors


def test_a_full_card_is_tried_once_more_with_half_the_cache(
    cuda_stub: CudaStub, half_bundle: Path, tmp_path: Path
) -> None:
    run = cuda_stub.run(tmp_path, "recover", half_bundle, "memory")
    assert run.printed["told"] == ["a forecast", "503 engine-failed", "a forecast"]
    first, second = run.printed["caches"]
    assert 0 < second <= first // 2
    assert run.printed["ended"] == 0


def test_a_lost_card_ends_the_process(cuda_stub: CudaStub, half_bundle: Path, tmp_path: Path) -> None:
    run = cuda_stub.run(tmp_path, "recover", half_bundle, "lost")
    assert run.printed["told"] == ["a forecast", "503 engine-failed", "503 engine-failed"]
    # The steps were captured by the thread that runs them: another one's graphs would be captured anew.
    assert run.count("serving", "CAPTURE") == 0
    assert run.count("serving", "REPLAY") > 0
    assert (run.printed["ended"], len(run.printed["caches"])) == (1, 1)
