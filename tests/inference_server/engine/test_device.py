"""Memory, packed arrays and copies on the CPU; `test_cuda.py` has the GPU's."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_server.engine.bundle import ENCODE_FILE
from inference_server.engine.device import ALIGNMENT, CpuDevice, DeviceError, DeviceMemoryError, Packed, Span
from inference_server.engine.engine import Engine


@pytest.fixture(scope="module")
def device() -> CpuDevice:
    return CpuDevice(1)


def filled(device: CpuDevice, shape: tuple[int, ...]) -> tuple[Span, np.ndarray]:
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    span = device.buffer(values.nbytes).span(shape, np.float32)
    device.write(span, values)
    return span, values


@pytest.mark.parametrize(("row", "count", "length"), [(0, 3, 4), (1, 2, 2), (2, 0, 4), (2, 1, 0)])
def test_a_row_is_repeated_as_far_as_it_is_used(device: CpuDevice, row: int, count: int, length: int) -> None:
    rows, values = filled(device, (3, 4, 2, 4, 3))  # caches, rows, heads, tokens, columns
    device.copy_row(rows, row, row + 1, count, length)
    values[:, row + 1 : row + 1 + count, :, :length] = values[:, row : row + 1, :, :length]
    np.testing.assert_array_equal(device.read(rows), values)


def test_reading_copies(device: CpuDevice) -> None:
    span, values = filled(device, (3,))
    before = device.read(span)
    device.write(span, np.zeros(3))
    np.testing.assert_array_equal(before, values)


def test_a_part_of_memory_keeps_it_alive(device: CpuDevice) -> None:
    spans = [device.buffer(1 << 20).span((4,), np.int64) for _ in range(20)]
    for number, span in enumerate(spans):
        device.write(span, np.full(4, number))
    assert [device.read(span).tolist() for span in spans] == [[n] * 4 for n in range(20)]


SHAPES = st.lists(st.integers(0, 4), min_size=1, max_size=3).map(tuple)


@given(
    fields=st.dictionaries(
        st.text("abc", min_size=1, max_size=3), st.tuples(SHAPES, st.sampled_from("qfei")), min_size=1
    ),
    blocks=st.integers(1, 3),
)
def test_packed_arrays_are_apart_and_where_their_spans_say(
    fields: dict[str, tuple[tuple[int, ...], str]], blocks: int
) -> None:
    device, packed = CpuDevice(1), Packed(fields)
    host = packed.host(blocks)
    expected = {}
    for number, name in enumerate(fields):
        view = packed.view(host, name)
        view[...] = number + 1
        expected[name] = view.copy()
    buffer = device.buffer(max(1, host.nbytes))
    device.write(buffer.span(host.shape, np.uint8), host)
    for block in range(blocks):
        for name, span in packed.spans(buffer, block * packed.nbytes).items():
            assert packed.offsets[name] % ALIGNMENT == 0
            np.testing.assert_array_equal(device.read(span), expected[name][block])


def test_an_exception_tells_of_the_device_only_if_it_is_the_device_s(device: CpuDevice) -> None:
    lost = DeviceError("lost")
    assert device.fault(lost) is lost
    assert device.fault(ValueError("out of memory")) is None


def test_a_session_keeps_no_memory_pattern_per_shape(device: CpuDevice, tiny_base_bundle: Path) -> None:
    options = device.session(tiny_base_bundle / ENCODE_FILE).get_session_options()
    assert not options.enable_mem_pattern


def test_more_memory_than_the_process_may_have_is_refused(device: CpuDevice) -> None:
    """Linux would grant it, and end the process later."""
    with pytest.raises(DeviceMemoryError, match=r"1073741824 MiB are wanted, .* may use \d+ MiB more"):
        device.buffer(1 << 50)


def test_a_cache_beyond_the_memory_is_halved_until_it_fits(
    tiny_base_bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Engine.load(tiny_base_bundle, cache_bytes=1 << 44, threads=1)
    assert "half is tried; KRONOS_CACHE_BYTES sets it" in caplog.text
    assert engine.cache_bytes < 1 << 43
