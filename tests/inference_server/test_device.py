from pathlib import Path

import numpy as np
import pytest

from inference_server.device import Device, choose_device, copy_row


@pytest.fixture(scope="module")
def device(tiny_bundle: Path) -> Device:
    return Device("cpu", 1, tiny_bundle / "copy_rows.onnx")


def filled(device: Device, shape: tuple[int, ...]) -> tuple[object, np.ndarray]:
    values = np.arange(np.prod(shape), dtype=np.float32)
    return device.buffer((len(values),), np.float32).set(values), values.reshape(shape)


@pytest.mark.parametrize(("row", "count", "length"), [(0, 3, 4), (1, 2, 2), (2, 0, 4), (2, 1, 0)])
def test_a_row_is_repeated_as_far_as_it_is_used(device: Device, row: int, count: int, length: int) -> None:
    shape = (4, 2, 4, 3)
    buffer, values = filled(device, shape)
    device.copy_row(buffer, shape, row, row + 1, count, length)  # type: ignore[arg-type]
    values[row + 1 : row + 1 + count, :, :length] = values[row, :, :length]
    np.testing.assert_array_equal(buffer.get().reshape(shape), values)  # type: ignore[attr-defined]


def test_the_copy_for_devices_without_a_host_view_does_the_same(device: Device, tiny_bundle: Path) -> None:
    shape = (5, 2, 4, 3)
    buffer, values = filled(device, shape)
    copy_row(device.session(tiny_bundle / "copy_rows.onnx"), buffer, shape, 1, 2, 3)  # type: ignore[arg-type]
    values[2:5] = values[1]
    np.testing.assert_array_equal(buffer.get().reshape(shape), values)  # type: ignore[attr-defined]


def test_reading_a_buffer_copies_it(device: Device) -> None:
    buffer = device.buffer((3,), np.int64).set(np.arange(3))
    before = buffer.get()
    buffer.set(np.zeros(3))
    assert before.tolist() == [0, 1, 2]


@pytest.mark.parametrize("failure", [RuntimeError("no driver"), OSError("libcudart missing")])
def test_a_broken_cuda_installation_falls_back_to_the_cpu(
    failure: Exception, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: object, **settings: object) -> None:
        raise failure

    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr("onnxruntime.preload_dlls", broken, raising=False)
    caplog.set_level("INFO")
    assert choose_device(1, tiny_bundle / "copy_rows.onnx", "fp16").kind == "cpu"
    assert str(failure) in caplog.text
    assert "on cpu, precision fp16" in caplog.text


def test_single_precision_runs_on_the_cpu_whatever_is_there(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CUDA attention kernel takes half precision only."""
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])
    assert choose_device(1, tiny_bundle / "copy_rows.onnx", "fp32").kind == "cpu"
