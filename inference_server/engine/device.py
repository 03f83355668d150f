"""Memory, sessions and copies on the device that runs the model, and the CPU's own.

The engine binds memory by pointer, shape and type. `engine.cuda` has the same for a GPU; nothing else
knows which of the two it works with.
"""

import ctypes
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
import psutil
from numpy.typing import NDArray

from inference_server.engine import native_operators
from inference_server.engine.memory import usable_memory

Array = NDArray[Any]
Kind = Literal["cpu", "cuda"]
# Arrays in a block begin at multiples of this, which a GPU's copies and kernels need for full speed.
ALIGNMENT = 256
CACHE_BYTES = 2 << 30
LARGE_BYTES = 64 << 20  # smaller blocks are not worth a look at the process's limits


class DeviceError(Exception):
    """The device cannot be used, or was lost; the message says what failed and why."""


class DeviceMemoryError(DeviceError):
    """The device has not enough free memory for an allocation."""


@dataclass(frozen=True)
class Work:
    """How much work a device does at once.

    Attributes
    ----------
    most_slots
        The most rows that step together; more rows would not raise the throughput.
    refill_tokens
        The most tokens that one refill of full contexts runs, unless one row has more; it bounds how long
        other work waits.
    detokenise_rows
        Sample paths whose tokens become candles at once.
    steps
        Steps in one unit of work.
    """

    most_slots: int
    refill_tokens: int
    detokenise_rows: int
    steps: int


@dataclass(frozen=True)
class Span:
    """A part of a device's memory as an array; it keeps its `owner` alive."""

    kind: Kind
    index: int
    pointer: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    owner: object = field(repr=False, compare=False)

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


class Buffer:
    """A block of a device's memory; `span` gives parts of it."""

    def __init__(self, device: "Device", pointer: int, nbytes: int, owner: object) -> None:
        self.device, self.pointer, self.nbytes = device, pointer, nbytes
        self._owner = owner  # frees the memory when it goes

    def span(self, shape: Sequence[int], dtype: Any, offset: int = 0) -> Span:
        """Return the array of this shape that begins `offset` bytes into the block."""
        device = self.device
        span = Span(device.kind, device.index, self.pointer + offset, tuple(shape), np.dtype(dtype), self)
        assert offset + span.nbytes <= self.nbytes
        return span


class Packed:
    """Arrays one after the other in one block, so that one copy moves all of them.

    Parameters
    ----------
    fields
        Shape and type of each array, in order.
    """

    def __init__(self, fields: Mapping[str, tuple[Sequence[int], Any]]) -> None:
        self.fields = {name: (tuple(shape), np.dtype(dtype)) for name, (shape, dtype) in fields.items()}
        self.offsets: dict[str, int] = {}
        end = 0
        for name, (shape, dtype) in self.fields.items():
            self.offsets[name] = end
            size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
            end += -(-size // ALIGNMENT) * ALIGNMENT
        self.nbytes = end

    def host(self, blocks: int = 1) -> NDArray[np.uint8]:
        """Return zeroed host memory for so many blocks, (blocks, nbytes)."""
        return np.zeros((blocks, self.nbytes), np.uint8)

    def view(self, blocks: NDArray[np.uint8], name: str) -> Array:
        """Return one array of every block, (blocks, *shape), as a view."""
        shape, dtype = self.fields[name]
        strides = (blocks.strides[0], *np.empty(shape, dtype).strides)
        return np.ndarray((len(blocks), *shape), dtype, blocks, self.offsets[name], strides)

    def filled(self, values: Mapping[str, Array]) -> NDArray[np.uint8]:
        """Return one block with these values, (1, nbytes); arrays that are not given are zero."""
        block = self.host()
        for name, value in values.items():
            self.view(block, name)[0] = value
        return block

    def spans(self, buffer: Buffer, offset: int = 0) -> dict[str, Span]:
        """Return the arrays of a block that begins `offset` bytes into a buffer."""
        return {
            name: buffer.span(shape, dtype, offset + self.offsets[name])
            for name, (shape, dtype) in self.fields.items()
        }


class Binding:
    """Inputs and outputs of one session, bound by pointer."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session, self._binding = session, session.io_binding()
        self._kept: dict[str, Span] = {}  # ONNX Runtime holds only their pointers

    def input(self, name: str, span: Span) -> None:
        """Bind an array as an input."""
        self._kept[name] = span
        self._binding.bind_input(name, span.kind, span.index, span.dtype, span.shape, span.pointer)

    def output(self, name: str, span: Span) -> None:
        """Bind an array as an output."""
        self._kept[name] = span
        self._binding.bind_output(name, span.kind, span.index, span.dtype, span.shape, span.pointer)

    def run(self, options: ort.RunOptions | None = None) -> None:
        """Run the session on what is bound."""
        self._session.run_with_iobinding(self._binding, options)


class Device(ABC):
    """One device: its memory, its sessions, and how much it does at once.

    Attributes
    ----------
    kind, index, name
        "cpu" or "cuda", which card, and its name.
    work
        How much it does at once.
    cuda_graphs
        Whether the steps of the batch are captured as CUDA graphs.
    compiled_operators
        The instruction set of the compiled operators that its sessions have; None without them.
    """

    kind: Kind
    index: int = 0
    name: str
    work: Work
    cuda_graphs: bool = False
    compiled_operators: str | None = None

    @abstractmethod
    def session(
        self, file: Path, *, steady: bool = False, threads: int | None = None, graphs: bool = False
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
        graphs
            Whether its runs may be captured as CUDA graphs.
        """

    @abstractmethod
    def buffer(self, nbytes: int) -> Buffer:
        """Allocate memory; its contents are undefined.

        Raises
        ------
        DeviceMemoryError
            There is not so much left.
        """

    @abstractmethod
    def proposed_cache_bytes(self) -> int:
        """Return the size of caches, in bytes, where none is configured."""

    @abstractmethod
    def copy(self, target: Span, source: Span) -> None:
        """Copy an array to another of equal size on this device, after all work that was begun earlier."""

    @abstractmethod
    def write(self, target: Span, values: Array) -> None:
        """Copy host values of the array's shape to it."""

    @abstractmethod
    def read(self, source: Span) -> Array:
        """Copy an array to the host once everything that was begun is done."""

    @abstractmethod
    def copy_row(self, rows: Span, source: int, target: int, count: int, length: int) -> None:
        """Copy one row of caches to `count` rows from `target` on.

        Parameters
        ----------
        rows
            (caches, rows, heads, capacity, head_dim): caches of one shape, one behind the other.
        source, target, count
            The row to copy, the first row that gets it, and how many do; `source` is none of them.
        length
            Tokens in use; what lies beyond them need not be copied.
        """

    @property
    def free_bytes(self) -> int:
        """Free memory of the device in bytes; 0 where it is unknown."""
        return 0

    def run_options(self, graph: int | None = None) -> ort.RunOptions | None:
        """Return how to run a session on what is bound; the next `read` or `wait` finds it done.

        Parameters
        ----------
        graph
            The number of the CUDA graph that the run is captured as, and replayed from then on: it belongs to
            one set of arrays. None for a run that is not captured.
        """
        return None

    @abstractmethod
    def wait(self) -> None:
        """Wait until everything that was begun is done.

        Raises
        ------
        DeviceError
            Something of it failed.
        """

    def fault(self, error: Exception) -> DeviceError | None:
        """Return the device error behind an exception of a session; None where the device works."""
        return error if isinstance(error, DeviceError) else None


def session_options(threads: int | None, steady: bool) -> ort.SessionOptions:
    """Return the session options that all devices share."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or 0  # 0: every core
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(steady)))
    return options


class CpuDevice(Device):
    """The CPU."""

    kind: Kind = "cpu"
    name = "CPU"
    work = Work(most_slots=64, refill_tokens=1024, detokenise_rows=8, steps=1)

    def __init__(self, threads: int | None = None, cache_bytes: int = CACHE_BYTES) -> None:
        """Use the CPU.

        Parameters
        ----------
        threads
            Threads per session; every core unless given.
        cache_bytes
            Size of caches in bytes where none is configured.
        """
        self._threads, self._cache_bytes = threads, cache_bytes
        self.compiled_operators = native_operators.instruction_set()

    def session(
        self, file: Path, *, steady: bool = False, threads: int | None = None, graphs: bool = False
    ) -> ort.InferenceSession:
        """Load a graph; see `Device`."""
        options = session_options(threads or self._threads, steady)
        # ONNX Runtime keeps a memory pattern for every shape that it has seen, without end: requests whose
        # lookback and paths all differ took 3 % more memory in 125 forecasts. Steps are as fast without.
        options.enable_mem_pattern = False
        native_operators.register(options)
        return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def buffer(self, nbytes: int) -> Buffer:
        """Allocate memory; its contents are undefined.

        Raises
        ------
        DeviceMemoryError
            A large block is wanted that this process may not have: Linux would grant it, and end the
            process once the block is filled.
        """
        if nbytes >= LARGE_BYTES:
            free = usable_memory() - psutil.Process().memory_info().rss
            if nbytes > free:
                raise DeviceMemoryError(
                    f"{nbytes >> 20} MiB are wanted, and this process may use {max(0, free) >> 20} MiB more"
                )
        try:
            memory = np.empty(nbytes, np.uint8)
        except MemoryError as full:
            raise DeviceMemoryError(str(full)) from None
        return Buffer(self, memory.ctypes.data, nbytes, memory)

    def proposed_cache_bytes(self) -> int:
        """Return the size of caches, in bytes, where none is configured."""
        return self._cache_bytes

    def copy(self, target: Span, source: Span) -> None:
        """Copy an array to another of equal size."""
        ctypes.memmove(target.pointer, source.pointer, target.nbytes)

    def write(self, target: Span, values: Array) -> None:
        """Copy host values of the array's shape to it."""
        _host(target)[...] = values

    def read(self, source: Span) -> Array:
        """Copy an array."""
        return _host(source).copy()

    def wait(self) -> None:
        """Return at once: work on the CPU is done when its call returns."""

    def copy_row(self, rows: Span, source: int, target: int, count: int, length: int) -> None:
        """Copy one row of caches to `count` rows from `target` on; see `Device`."""
        caches = _host(rows)
        caches[:, target : target + count, :, :length] = caches[:, source : source + 1, :, :length]


def host_span(values: Array) -> Span:
    """Return a host array as a span; it is bound as CPU memory whatever the device."""
    return Span("cpu", 0, values.ctypes.data, values.shape, values.dtype, values)


def _host(span: Span) -> Array:
    """Return a span of CPU memory as an array, without a copy."""
    memory = (ctypes.c_char * span.nbytes).from_address(span.pointer)
    return np.ndarray(span.shape, span.dtype, memoryview(memory))
