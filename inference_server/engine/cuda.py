"""A CUDA device: one stream on which every session runs, memory by the CUDA runtime, and what can fail.

ONNX Runtime does not say why it cannot use a GPU: it logs, and goes on with the CPU. So what it needs is
tried here first, one part after the other, and whatever fails is named.
"""

import contextlib
import ctypes
import io
import logging
import sys
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from inference_server.engine.device import (
    Array,
    Buffer,
    Device,
    DeviceError,
    DeviceMemoryError,
    Kind,
    Span,
    Work,
    session_options,
)

log = logging.getLogger(__name__)

PROVIDER = "CUDAExecutionProvider"
_HOST_TO_DEVICE, _DEVICE_TO_HOST, _DEVICE_TO_DEVICE = 1, 2, 3
_OUT_OF_MEMORY = 2
_NON_BLOCKING = 1
_ERROR = 3  # of ONNX Runtime's log severities
_EAGER = -1  # the graph number of runs that ONNX Runtime does not capture
# cudaDeviceProp begins with the card's name; its size differs between versions and stays far below this.
_PROPERTIES_BYTES, _NAME_BYTES = 8192, 256
# A reload needs as much again for the new engine beside the old one; activations need the rest.
CACHE_SHARE = 0.4
# What ONNX Runtime's own allocator says when the card is full.
_MEMORY_WORDS = ("failed to allocate memory", "out of memory", "smaller than requested bytes")


def provider_options(stream: int, index: int, graphs: bool) -> dict[str, str]:
    """Return ONNX Runtime's options for the card."""
    return {
        "device_id": str(index),
        # One stream for all sessions: it runs their work in order, so that no session waits for another.
        "user_compute_stream": str(stream),
        # Flash attention, beside the kernels for single tokens. cuDNN's would be preferred where it is
        # installed, and plans anew, for a tenth of a second or more, for every length of a history.
        "sdpa_kernel": "1",
        # Products in float32 keep their 24 bits: with TF32's 11 the tokenizer's bits near zero fall
        # differently than on the CPU, and the candles differ.
        "use_tf32": "0",
        # Extensions of the arena of the requested size; by default they are rounded up to a power of two.
        "arena_extend_strategy": "kSameAsRequested",
        "enable_cuda_graph": str(int(graphs)),
    }


class CudaRuntime:
    """The few functions of the CUDA runtime that the engine needs; the library is ONNX Runtime's own."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        library.cudaGetErrorString.restype = ctypes.c_char_p

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function that answers with an error code.

        Raises
        ------
        DeviceMemoryError
            The card has no memory left.
        DeviceError
            Any other error code.
        """
        code = getattr(self._library, name)(*arguments)
        if code == 0:
            return
        reason = self._library.cudaGetErrorString(code).decode()
        if code == _OUT_OF_MEMORY:
            self._library.cudaGetLastError()  # clears an error that does not last
            raise DeviceMemoryError(f"{name}: {reason}")
        raise DeviceError(f"{name}: {reason} (CUDA error {code})")

    def devices(self) -> int:
        """Return how many cards there are."""
        count = ctypes.c_int()
        self.call("cudaGetDeviceCount", ctypes.byref(count))
        return count.value

    def name(self, index: int) -> str:
        """Return a card's name."""
        properties = ctypes.create_string_buffer(_PROPERTIES_BYTES)
        self.call("cudaGetDeviceProperties", properties, index)
        return properties.raw[:_NAME_BYTES].split(b"\0")[0].decode()

    def version(self, name: str) -> str:
        """Return the version from cudaDriverGetVersion or cudaRuntimeGetVersion, such as "13.0"."""
        value = ctypes.c_int()
        self.call(name, ctypes.byref(value))
        return f"{value.value // 1000}.{value.value % 1000 // 10}"


@cache
def cuda_runtime() -> CudaRuntime:
    """Load ONNX Runtime's CUDA provider and what it needs.

    Raises
    ------
    DeviceError
        This build of ONNX Runtime has no CUDA provider, or a library that it needs is missing or broken.
    """
    if PROVIDER not in ort.get_available_providers():
        raise DeviceError(
            f"onnxruntime {ort.__version__} was built without CUDA: install onnxruntime-gpu in its place"
        )
    # Of every session on a card ONNX Runtime warns that it finds no plugin for it; errors are still printed.
    ort.set_default_logger_severity(_ERROR)
    notes = io.StringIO()
    with contextlib.redirect_stdout(notes):
        ort.preload_dlls()  # of the packages nvidia-*, where they are installed; prints what it misses
    folder = Path(ort.__file__).parent / "capi"
    windows = sys.platform == "win32"
    major = str(ort.cuda_version).split(".")[0]
    names = ["onnxruntime_providers_shared.dll", "onnxruntime_providers_cuda.dll"]
    if not windows:
        names = [f"lib{name.removesuffix('.dll')}.so" for name in names]
    try:
        for name in names:
            ctypes.CDLL(str(folder / name), mode=ctypes.RTLD_GLOBAL)
        return CudaRuntime(ctypes.CDLL(f"cudart64_{major}.dll" if windows else f"libcudart.so.{major}"))
    except OSError as error:
        raise DeviceError(
            f"ONNX Runtime's CUDA provider needs the libraries of CUDA {ort.cuda_version}: {error}; "
            'pip install "kronos-events[cuda]" brings them'
        ) from None


def card_name(index: int) -> str:
    """Return a card's name, without taking any of its memory.

    Raises
    ------
    DeviceError
        There is no such card, or CUDA cannot be used; the message says why.
    """
    runtime = cuda_runtime()
    count = runtime.devices()
    if index >= count:
        raise DeviceError(f"there is no card {index}: CUDA sees {count}, numbered from 0")
    return runtime.name(index)


class CudaDevice(Device):
    """One card.

    Everything runs on one stream, so that what was begun first is done first; only `read` and `wait` wait.
    """

    kind: Kind = "cuda"
    # A thousand rows read 27 GB of caches a step with Kronos-base, which takes as long on a card with 3 TB/s
    # as the rest of the step many times over: more rows would only make each of them wait.
    # A refill of 8,192 tokens takes 0.7 GiB of activations with Kronos-base, one of 32,768 takes 2.8 GiB.
    work = Work(most_slots=1024, refill_tokens=8_192, detokenise_rows=128, steps=8)

    def __init__(self, index: int = 0, cuda_graphs: bool = True) -> None:
        """Use a card.

        Raises
        ------
        DeviceError
            There is no such card, or it cannot be used; the message says why.
        """
        self.index, self.cuda_graphs = index, cuda_graphs
        self.name = card_name(index)
        self._cuda = cuda_runtime()
        self._threads = threading.local()
        stream = ctypes.c_void_p()
        self._call("cudaStreamCreateWithFlags", ctypes.byref(stream), _NON_BLOCKING)
        self._stream = stream
        self._options: dict[int | None, ort.RunOptions] = {}

    def _call(self, name: str, *arguments: Any) -> None:
        """Call a function of the runtime for this card; CUDA's current card is a property of the thread."""
        if not hasattr(self._threads, "chosen"):
            self._cuda.call("cudaSetDevice", self.index)
            self._threads.chosen = True
        self._cuda.call(name, *arguments)

    @property
    def free_bytes(self) -> int:
        """Free memory of the card in bytes."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._call("cudaMemGetInfo", ctypes.byref(free), ctypes.byref(total))
        return free.value

    def proposed_cache_bytes(self) -> int:
        """Return a share of the free memory of the card."""
        return int(self.free_bytes * CACHE_SHARE)

    @property
    def versions(self) -> dict[str, str]:
        """CUDA's versions: the newest that the driver supports, and the runtime's."""
        return {
            "driver": self._cuda.version("cudaDriverGetVersion"),
            "runtime": self._cuda.version("cudaRuntimeGetVersion"),
        }

    def session(
        self, file: Path, *, steady: bool = False, threads: int | None = None, graphs: bool = False
    ) -> ort.InferenceSession:
        """Load a graph; see `Device`.

        Raises
        ------
        DeviceError
            ONNX Runtime does not load it on the card.
        """
        options = session_options(1, steady)  # the CPU only computes shapes here
        chosen = provider_options(self._stream.value or 0, self.index, graphs and self.cuda_graphs)
        # By default ONNX Runtime falls back to the CPU without a message where anything fails on the card.
        session = ort.InferenceSession(
            file, options, providers=[(PROVIDER, chosen), "CPUExecutionProvider"], enable_fallback=0
        )
        if PROVIDER not in session.get_providers():
            raise DeviceError(
                f"ONNX Runtime did not load {file.name} on {self.name}, though its libraries are there; its "
                "own log on the error output says why"
            )
        return session

    def buffer(self, nbytes: int) -> Buffer:
        """Allocate memory of the card."""
        owner = _Allocation(self._call, nbytes)
        return Buffer(self, owner.pointer, nbytes, owner)

    def copy(self, target: Span, source: Span) -> None:
        """Copy an array to another of equal size, after all work that was begun earlier."""
        self._move(target.pointer, source.pointer, target.nbytes, _DEVICE_TO_DEVICE)

    def write(self, target: Span, values: Array) -> None:
        """Copy host values of the array's shape to it."""
        host = np.ascontiguousarray(np.broadcast_to(values, target.shape), target.dtype)
        # The call returns once it has read memory that is not pinned.
        self._move(target.pointer, host.ctypes.data, target.nbytes, _HOST_TO_DEVICE)

    def read(self, source: Span) -> Array:
        """Copy an array to the host once everything that was begun is done."""
        host = np.empty(source.shape, source.dtype)
        self._move(host.ctypes.data, source.pointer, source.nbytes, _DEVICE_TO_HOST)
        self.wait()
        return host

    def _move(self, target: int, source: int, nbytes: int, kind: int) -> None:
        self._call(
            "cudaMemcpyAsync",
            ctypes.c_void_p(target),
            ctypes.c_void_p(source),
            ctypes.c_size_t(nbytes),
            kind,
            self._stream,
        )

    def copy_row(self, rows: Span, source: int, target: int, count: int, length: int) -> None:
        """Copy one row of caches to `count` rows from `target` on; see `Device`.

        Each copy doubles the rows that hold it, and moves all caches and heads at once: 1, 2, 4, … rows.
        """
        done = 0
        while done < count:
            # Rows already copied are the source of the next copy, which doubles their number.
            first, size = (source, 1) if not done else (target, min(done, count - done))
            self._copy_rows(rows, first, target + done, size, length)
            done += size

    def _copy_rows(self, rows: Span, source: int, target: int, size: int, length: int) -> None:
        caches, count, heads, capacity, head_dim = rows.shape
        token = head_dim * rows.dtype.itemsize
        pitch, per_row = capacity * token, heads * capacity * token

        def place(row: int) -> _Pitched:
            # A layer of this box is one cache, a line of it one head of one row.
            return _Pitched(rows.pointer + row * per_row, pitch, pitch, count * heads)

        box = _Box(
            source=place(source),
            target=place(target),
            width=length * token,
            height=size * heads,
            depth=caches,
            kind=_DEVICE_TO_DEVICE,
        )
        self._call("cudaMemcpy3DAsync", ctypes.byref(box), self._stream)

    def run_options(self, graph: int | None = None) -> ort.RunOptions:
        """Return how to run a session on what is bound; see `Device`."""
        if graph not in self._options:
            options = ort.RunOptions()
            options.add_run_config_entry("disable_synchronize_execution_providers", "1")
            if self.cuda_graphs:
                options.add_run_config_entry("gpu_graph_id", str(_EAGER if graph is None else graph))
            self._options[graph] = options
        return self._options[graph]

    def wait(self) -> None:
        """Wait until everything that was begun is done; see `Device`."""
        self._call("cudaStreamSynchronize", self._stream)

    def fault(self, error: Exception) -> DeviceError | None:
        """Return the device error behind an exception of a session; None where the device works."""
        if isinstance(error, DeviceError):
            return error
        try:
            # After a lasting error every call fails with it.
            self.wait()
            self._call("cudaGetLastError")
        except DeviceError as lost:
            return lost
        text = str(error).lower()
        if any(words in text for words in _MEMORY_WORDS):
            return DeviceMemoryError(str(error).splitlines()[0])
        return None


class _Allocation:
    """Memory of the card, freed with this object."""

    def __init__(self, call: Callable[..., None], nbytes: int) -> None:
        pointer = ctypes.c_void_p()
        call("cudaMalloc", ctypes.byref(pointer), ctypes.c_size_t(nbytes))
        self._call, self.pointer = call, pointer.value or 0

    def __del__(self) -> None:
        if hasattr(self, "pointer"):
            # On a lost card freeing fails too, and its memory is gone anyway.
            with contextlib.suppress(DeviceError):
                self._call("cudaFree", ctypes.c_void_p(self.pointer))


class _Position(ctypes.Structure):
    _fields_ = [("x", ctypes.c_size_t), ("y", ctypes.c_size_t), ("z", ctypes.c_size_t)]


class _Pitched(ctypes.Structure):
    """cudaPitchedPtr."""

    _fields_ = [
        ("pointer", ctypes.c_void_p),
        ("pitch", ctypes.c_size_t),
        ("width", ctypes.c_size_t),
        ("height", ctypes.c_size_t),
    ]


class _Box(ctypes.Structure):
    """cudaMemcpy3DParms."""

    _fields_ = [
        ("source_array", ctypes.c_void_p),
        ("source_position", _Position),
        ("source", _Pitched),
        ("target_array", ctypes.c_void_p),
        ("target_position", _Position),
        ("target", _Pitched),
        ("width", ctypes.c_size_t),
        ("height", ctypes.c_size_t),
        ("depth", ctypes.c_size_t),
        ("kind", ctypes.c_int),
    ]
