"""The decoder's sessions over a pool of key/value caches, and the prefill that fills rows of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference_server.bundle import DECODER_FILE, PATHS_FILE, CacheLayout, Manifest
from inference_server.device import Array, Binding, Buffer, Device

Int64Array = NDArray[np.int64]
Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class Sampling:
    """How each row draws, arrays of length B."""

    temperature: Float32Array
    top_k: Int64Array
    top_p: Float32Array


@dataclass(frozen=True)
class Tokens:
    """New tokens of B rows, S each: s1, s2 (B, S) and stamps (B, S, 5), and what comes with them.

    `event_embedding` is (B, S, d_model), and `gate` (B,) is 1 on the rows that have events; both None
    where no row has events.
    """

    s1: Int64Array
    s2: Int64Array
    stamp: Int64Array
    event_embedding: Float32Array | None = None
    gate: Float32Array | None = None


class CachePool:
    """One flat buffer per layer and kind, used as (rows, heads, capacity, head_dim) of any capacity."""

    def __init__(self, device: Device, layouts: Sequence[CacheLayout], tokens: int, dtype: type[np.generic]):
        self.device, self.tokens = device, tokens
        self.widths = [(c.heads, c.head_dim) for c in layouts for _ in ("key", "value")]
        self.names = [f"{kind}.{i}" for i in range(len(layouts)) for kind in ("key", "value")]
        self.buffers = [device.buffer((tokens * heads * dim,), dtype) for heads, dim in self.widths]

    def bind(self, binding: Binding, rows: int, capacity: int, first_token: int = 0) -> None:
        """Bind rows of the caches as past and, in place, as present; they begin at a token of the pool."""
        for name, buffer, (heads, dim) in zip(self.names, self.buffers, self.widths, strict=True):
            shape, offset = (rows, heads, capacity, dim), first_token * heads * dim
            binding.input(f"past_{name}", buffer, shape, offset)
            binding.output(f"present_{name}", buffer, shape, offset)

    def bind_prefix(self, binding: Binding, length: int, first_token: int) -> None:
        """Bind tokens of the pool as the prefix that all rows share."""
        for name, buffer, (heads, dim) in zip(self.names, self.buffers, self.widths, strict=True):
            binding.input(f"prefix_{name}", buffer, (1, heads, length, dim), first_token * heads * dim)

    def copy(self, capacity: int, source: int, target: int, count: int, length: int) -> None:
        """Copy the first `length` tokens of row `source` to `count` rows from `target` on."""
        rows = max(source + 1, target + count)
        for buffer, (heads, dim) in zip(self.buffers, self.widths, strict=True):
            self.device.copy_row(buffer, (rows, heads, capacity, dim), source, target, count, length)


def token_bytes(manifest: Manifest) -> int:
    """Bytes of cache that one token of one row takes."""
    size = 2 if manifest.precision == "fp16" else 4
    return sum(2 * c.heads * c.head_dim for c in manifest.caches) * size


class Decoder:
    """Runs `decoder.onnx`, and `paths.onnx` where rows share a prefix, over a pool of caches."""

    def __init__(self, device: Device, folder: Path, manifest: Manifest, cache_tokens: int) -> None:
        self.device, self.width = device, manifest.d_model
        self.adapted = manifest.has_adapter
        self.session = device.session(folder / DECODER_FILE, steady=True)
        # CUDA's attention kernel doesn't hand out its scores, which joining prefix and suffix takes.
        self.paths_session = (
            device.session(folder / PATHS_FILE, steady=True) if device.kind == "cpu" else None
        )
        dtype = np.float16 if manifest.precision == "fp16" else np.float32
        self.pool = CachePool(device, manifest.caches, cache_tokens, dtype)

    def prefill(
        self,
        tokens: Tokens,
        capacity: int,
        first_token: int,
        sampling: Sampling | None = None,
        uniform: Float32Array | None = None,
    ) -> tuple[Int64Array, Int64Array]:
        """Fill B cache rows of this capacity with S tokens each; draw the pair that follows.

        Parameters
        ----------
        tokens, capacity, first_token
            What goes into the rows, and where in the pool they begin.
        sampling, uniform
            How rows draw, and the draws (B, 2).

        Returns
        -------
        s1, s2
            (B,) each; meaningless where no `sampling` and `uniform` (B, 2) are given.
        """
        rows, length = tokens.s1.shape
        sampling = sampling or greedy(rows)
        binding = Binding(self.session)
        bound = BoundValues(self.device, binding)
        self.pool.bind(binding, rows, capacity, first_token)
        bind_sampling(bound, sampling)
        bound.input("s1", tokens.s1, np.int64)
        bound.input("s2", tokens.s2, np.int64)
        bound.input("stamp", tokens.stamp, np.int64)
        bound.input("last_index", np.full((rows, 1), length - 1), np.int64)
        bound.input("seqlens_k", np.full(rows, length - 1), np.int32)
        bound.input("uniform", np.zeros((rows, 2)) if uniform is None else uniform, np.float32)
        bound.input("total_sequence_length", np.array([length]), np.int32, self.device.cpu)
        if tokens.event_embedding is not None:
            bound.input("event_embedding", tokens.event_embedding, np.float32)
            self.bind_gate(bound, tokens.gate)
        outputs = [self.device.buffer((rows, 1), np.int64) for _ in range(2)]
        for name, buffer in zip(("next_s1", "next_s2"), outputs, strict=True):
            binding.output(name, buffer, buffer.shape)
        binding.run()
        s1, s2 = (buffer.get()[:, 0] for buffer in outputs)
        return s1, s2  # type: ignore[return-value]

    def bind_gate(self, bound: "BoundValues", gate: Float32Array | None) -> None:
        """Bind which rows the adapter acts on, where the bundle has one."""
        if self.adapted and gate is not None:
            bound.input("adapter_gate", gate.reshape(-1, 1, 1), np.float32)


class BoundValues:
    """Host values bound as inputs; keeps their memory for as long as the binding lives."""

    def __init__(self, device: Device, binding: Binding) -> None:
        self._device, self._binding = device, binding
        self._kept: list[Buffer] = []

    def input(self, name: str, values: Array, dtype: type[np.generic], device: Device | None = None) -> None:
        """Copy values to the device and bind them."""
        buffer = (device or self._device).buffer(values.shape, dtype).set(values)
        self._kept.append(buffer)
        self._binding.input(name, buffer, buffer.shape)


def bind_sampling(bound: BoundValues, sampling: Sampling) -> None:
    """Bind how each row draws."""
    bound.input("temperature", sampling.temperature[:, None], np.float32)
    bound.input("top_k", sampling.top_k[:, None], np.int64)
    bound.input("top_p", sampling.top_p[:, None], np.float32)


def greedy(rows: int) -> Sampling:
    """The most probable token always."""
    return Sampling(np.ones(rows, np.float32), np.ones(rows, np.int64), np.ones(rows, np.float32))
