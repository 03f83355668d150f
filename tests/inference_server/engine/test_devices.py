"""Which device serves: what an operator chose, what is there, and what is said about it."""

from pathlib import Path

import pytest

from inference_server.engine import devices
from inference_server.engine.device import CpuDevice, DeviceError
from inference_server.engine.devices import DeviceChoice, load_engine
from inference_server.engine.model import EngineError
from tests.helpers.jobs import hourly_job

CACHE = 1 << 26


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose CUDA libraries are missing."""

    def missing(index: int, cuda_graphs: bool) -> None:
        raise DeviceError("libcublasLt.so.13 is missing")

    monkeypatch.setattr(devices, "gpu", missing)
    monkeypatch.setattr(devices, "card_name", lambda index: missing(index, cuda_graphs=True))


@pytest.mark.usefixtures("no_gpu")
def test_half_precision_without_a_gpu_runs_on_the_cpu_with_a_warning(
    half_bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = load_engine(half_bundle, DeviceChoice(), CpuDevice(1, CACHE))
    assert engine.fallback == "libcublasLt.so.13 is missing"
    assert [one.levelname for one in caplog.records] == ["WARNING"]
    assert "the CPU serves instead of a GPU: libcublasLt.so.13 is missing" in caplog.text
    # Such a bundle has no graph for paths that share a history: they have a slot each.
    assert engine.shared_tokens == 0
    assert engine.forecast([hourly_job(sample_count=9, events=True)])[0].shape == (9, 12, 6)


@pytest.mark.usefixtures("no_gpu")
def test_single_precision_without_a_gpu_is_as_it_should_be(
    tiny_bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = load_engine(tiny_bundle, DeviceChoice(), CpuDevice(1, CACHE))
    assert (engine.device.kind, engine.fallback) == ("cpu", None)
    assert caplog.records == []


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("bundle", ["tiny_bundle", "half_bundle"])
def test_who_insists_on_a_gpu_gets_one_or_the_reason(bundle: str, request: pytest.FixtureRequest) -> None:
    with pytest.raises(DeviceError, match=r"KRONOS_DEVICE asks for a GPU.*libcublasLt"):
        load_engine(request.getfixturevalue(bundle), DeviceChoice("cuda"), CpuDevice(1, CACHE))


def test_who_chooses_the_cpu_does_not_touch_a_gpu(
    half_bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("gpu", "card_name"):
        monkeypatch.setattr(devices, name, lambda *_: pytest.fail("the GPU was touched"))
    engine = load_engine(half_bundle, DeviceChoice("cpu"), CpuDevice(1, CACHE))
    assert (engine.device.kind, engine.fallback) == ("cpu", None)
    assert caplog.records == []


@pytest.mark.usefixtures("no_gpu")
def test_a_cache_that_is_too_small_is_named_on_the_cpu_too(half_bundle: Path) -> None:
    with pytest.raises(EngineError, match=r"the cache \(KRONOS_CACHE_BYTES\)"):
        load_engine(half_bundle, DeviceChoice(), CpuDevice(1), cache_bytes=100)
