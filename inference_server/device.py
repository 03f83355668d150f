"""Allocation, copies and binding on the CPU or a CUDA device: the only module that knows which.

The engine binds memory by pointer and shape. A buffer's leading axis can be bound by any slice, so
one buffer serves batches of any number of rows, and a step reads and writes slices without copying.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

log = logging.getLogger(__name__)
Array = NDArray[np.generic]


class Buffer:
    """A block of device memory with a shape and a type; slices of its leading axis can be bound."""

    def __init__(self, device: "Device", shape: Sequence[int], dtype: np.dtype[np.generic]) -> None:
        self.device, self.shape, self.dtype = device, tuple(shape), dtype
        if device.kind == "cpu":
            self._host = np.empty(self.shape, dtype)
            self.pointer = self._host.ctypes.data
        else:
            self._value = ort.OrtValue.ortvalue_from_shape_and_type(self.shape, dtype.type, device.kind, 0)
            self.pointer = self._value.data_ptr()
        self.stride = int(np.prod(self.shape[1:], dtype=np.int64)) * dtype.itemsize

    def set(self, values: Array) -> "Buffer":
        """Copy host values of the buffer's shape into it."""
        if self.device.kind == "cpu":
            self._host[...] = values
        else:
            self._value.update_inplace(np.ascontiguousarray(values, self.dtype))
        return self

    def get(self) -> Array:
        """Copy the buffer to the host."""
        # OrtValue.numpy() may be a view that does not keep its value alive.
        return self._host.copy() if self.device.kind == "cpu" else np.array(self._value.numpy())

    @property
    def host(self) -> Array:
        """The memory itself, on the CPU only."""
        return self._host


class Binding:
    """Inputs and outputs of one session, bound by pointer; rebind what changes, then run."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session, self._binding = session, session.io_binding()

    def input(self, name: str, buffer: Buffer, shape: Sequence[int], first: int = 0) -> None:
        """Bind rows from `first` of a buffer's leading axis, seen with `shape`, as an input."""
        self._binding.bind_input(
            name, buffer.device.kind, 0, buffer.dtype, tuple(shape), buffer.pointer + first * buffer.stride
        )

    def output(self, name: str, buffer: Buffer, shape: Sequence[int], first: int = 0) -> None:
        """Bind rows from `first` of a buffer's leading axis, seen with `shape`, as an output."""
        self._binding.bind_output(
            name, buffer.device.kind, 0, buffer.dtype, tuple(shape), buffer.pointer + first * buffer.stride
        )

    def run(self) -> None:
        """Run the session on what is bound."""
        self._session.run_with_iobinding(self._binding)


class Device:
    """The CPU or one CUDA device: makes sessions and buffers, and copies rows."""

    def __init__(self, kind: str, threads: int | None, copy_graph: Path) -> None:
        self.kind, self._threads = kind, threads
        self._copy = self.session(copy_graph) if kind != "cpu" else None
        self.cpu = self if kind == "cpu" else Device("cpu", threads, copy_graph)

    def session(
        self, file: Path, *, steady: bool = False, threads: int | None = None
    ) -> ort.InferenceSession:
        """Load a graph on this device.

        Parameters
        ----------
        file
            The graph.
        steady
            Whether it runs again and again without a pause. Only then do its threads spin between two runs:
            those of a graph that runs once a request would spin on while the next one needs the cores,
            which took a fifth of a whole request of Kronos-mini.
        threads
            As many as the device unless given.
        """
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or self._threads or 0  # 0: every core
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(steady)))
        providers = ["CPUExecutionProvider"]
        if self.kind == "cuda":
            providers.insert(0, "CUDAExecutionProvider")
        return ort.InferenceSession(file, options, providers=providers)

    def buffer(self, shape: Sequence[int], dtype: type[np.generic]) -> Buffer:
        """Allocate memory; its contents are undefined."""
        return Buffer(self, shape, np.dtype(dtype))

    def copy_row(
        self, cache: Buffer, shape: Sequence[int], source: int, target: int, count: int, length: int
    ) -> None:
        """Copy one row of a cache to `count` rows from `target` on.

        Parameters
        ----------
        cache
            A flat buffer.
        shape
            The layout it is used with: (rows, heads, capacity, head_dim).
        source, target, count
            The row to copy, the first row that gets it, and how many do; `source` is none of them.
        length
            Tokens in use; what lies beyond them need not be copied.
        """
        if not count:
            return
        if self._copy is None:
            rows = cache.host[: int(np.prod(shape))].reshape(shape)
            rows[target : target + count, :, :length] = rows[source, :, :length]
            return
        copy_row(self._copy, cache, shape, source, target, count)


def copy_row(
    session: ort.InferenceSession,
    cache: Buffer,
    shape: Sequence[int],
    source: int,
    target: int,
    count: int,
) -> None:
    """Copy a whole row of a cache to `count` rows from `target` on with the bundle's gather graph."""
    size = int(np.prod(shape[1:], dtype=np.int64))
    binding = Binding(session)
    indices = cache.device.buffer((count,), np.int64).set(np.zeros(count, np.int64))
    binding.input("source", cache, (1, size), source * size)
    binding.input("indices", indices, (count,))
    binding.output("rows", cache, (count, size), target * size)
    binding.run()


def choose_device(threads: int | None, copy_graph: Path, precision: str) -> Device:
    """The CUDA device where one works and the bundle's precision runs there, else the CPU; logged once."""
    device = None
    if precision == "fp16" and "CUDAExecutionProvider" in ort.get_available_providers():
        device = _try_cuda(threads, copy_graph)
    chosen = device or Device("cpu", threads, copy_graph)
    log.info("onnxruntime %s on %s, precision %s", ort.__version__, chosen.kind, precision)
    return chosen


def _try_cuda(threads: int | None, copy_graph: Path) -> Device | None:
    # Our one line says what there is to say; ONNX Runtime's own would fill a screen where there is no GPU.
    ort.set_default_logger_severity(4)
    try:
        if hasattr(ort, "preload_dlls"):
            ort.preload_dlls()
        device = Device("cuda", threads, copy_graph)
        if device._copy is not None and "CUDAExecutionProvider" in device._copy.get_providers():
            return device
    except Exception as e:  # any fault of the driver or the libraries: the CPU serves
        log.info("CUDA is not usable here (%s)", str(e).splitlines()[0] if str(e) else type(e).__name__)
    finally:
        ort.set_default_logger_severity(2)
    return None
