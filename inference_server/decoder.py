"""The decoder session: rows of a key/value cache, filled by prefill and advanced by steps."""

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

    def bind_prefix(self, binding: Binding, length: int) -> None:
        """Bind the pool's first tokens as the prefix that all rows share."""
        for name, buffer, (heads, dim) in zip(self.names, self.buffers, self.widths, strict=True):
            binding.input(f"prefix_{name}", buffer, (1, heads, length, dim))

    def repeat(self, rows: int, capacity: int, row: int, count: int, length: int) -> None:
        """Copy the first `length` tokens of one row to the `count` rows after it."""
        for buffer, (heads, dim) in zip(self.buffers, self.widths, strict=True):
            self.device.repeat_row(buffer, (rows, heads, capacity, dim), row, count, length)


def token_bytes(manifest: Manifest) -> int:
    """Bytes of cache that one token of one row takes."""
    size = 2 if manifest.precision == "fp16" else 4
    return sum(2 * c.heads * c.head_dim for c in manifest.caches) * size


class Decoder:
    """Runs `decoder.onnx`, and `paths.onnx` where rows share a prefix, over a pool of caches."""

    def __init__(self, device: Device, folder: Path, manifest: Manifest, cache_tokens: int) -> None:
        self.device, self.width = device, manifest.d_model
        self.adapted = manifest.has_adapter
        self.session = device.session(folder / DECODER_FILE)
        # CUDA's attention kernel doesn't hand out its scores, which joining prefix and suffix takes.
        self.paths_session = device.session(folder / PATHS_FILE) if device.kind == "cpu" else None
        dtype = np.float16 if manifest.precision == "fp16" else np.float32
        self.pool = CachePool(device, manifest.caches, cache_tokens, dtype)

    def prefill(
        self,
        tokens: Tokens,
        capacity: int,
        first_row: int = 0,
        sampling: Sampling | None = None,
        uniform: Float32Array | None = None,
    ) -> tuple[Int64Array, Int64Array]:
        """Fill cache rows of this capacity from `first_row` with B × S tokens; draw the pair that follows.

        Returns
        -------
        s1, s2
            (B,) each; meaningless where no `sampling` and `uniform` (B, 2) are given.
        """
        rows, length = tokens.s1.shape
        sampling = sampling or _greedy(rows)
        binding = Binding(self.session)
        bound = _Bound(self.device, binding)
        self.pool.bind(binding, rows, capacity, first_row * capacity)
        _bind_sampling(bound, sampling)
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

    def bind_gate(self, bound: "_Bound", gate: Float32Array | None) -> None:
        """Bind which rows the adapter acts on, where the bundle has one."""
        if self.adapted and gate is not None:
            bound.input("adapter_gate", gate.reshape(-1, 1, 1), np.float32)


class StepLoop:
    """Steps of a batch: every row's inputs for every step lie on the device before the first one.

    A step reads slice k of each buffer and writes its tokens to slice k + 1, so nothing is copied and
    no token visits the host until `generated`.
    """

    def __init__(
        self,
        decoder: Decoder,
        capacity: int,
        lengths: Int64Array,
        tokens: Tokens,
        sampling: Sampling,
        uniform: Float32Array,
        prefix_length: int = 0,
    ) -> None:
        """Prepare the steps of B rows.

        Parameters
        ----------
        decoder, capacity, prefix_length
            Where the rows' caches lie: B rows of this capacity in the pool, behind a prefix that all
            of them share, if there is one.
        lengths
            Tokens already in each row's own cache, (B,).
        tokens
            s1, s2 (B, 1): the tokens of the first step; stamp (B, steps, 5) and event_embedding
            (B, steps, d_model) of every step's input.
        sampling, uniform
            How rows draw, and the draws (B, steps, 2).
        """
        device, steps = decoder.device, uniform.shape[1]
        self.decoder, self.capacity, self.sampling, self.gate = decoder, capacity, sampling, tokens.gate
        self.prefix_length = prefix_length
        rows = len(lengths)

        def per_step(values: Array, dtype: type[np.generic]) -> Buffer:
            return device.buffer(values.shape, dtype).set(values)

        first = np.zeros((steps + 1, rows, 1), np.int64)
        self.s1, self.s2 = per_step(first, np.int64), per_step(first, np.int64)
        first[0] = tokens.s1
        self.s1.set(first)
        first[0] = tokens.s2
        self.s2.set(first)
        seqlens = lengths[None, :] + np.arange(steps)[:, None]
        self.seqlens = per_step(seqlens, np.int32)
        self.longest = seqlens + 1
        self.total = device.cpu.buffer((steps, 1), np.int32)
        self.stamp = per_step(tokens.stamp.swapaxes(0, 1)[:, :, None], np.int64)
        self.uniform = per_step(uniform.swapaxes(0, 1), np.float32)
        self.events = (
            None
            if tokens.event_embedding is None
            else per_step(tokens.event_embedding.swapaxes(0, 1)[:, :, None], np.float32)
        )
        self._rows = -1

    def _bind(self, rows: int) -> None:
        """Bind what stays the same while the number of rows does."""
        self._rows = rows
        decoder = self.decoder
        session = decoder.paths_session if self.prefix_length else decoder.session
        assert session is not None
        self._binding = Binding(session)
        self._bound = _Bound(decoder.device, self._binding)
        decoder.pool.bind(self._binding, rows, self.capacity, self.prefix_length)
        if self.prefix_length:
            decoder.pool.bind_prefix(self._binding, self.prefix_length)
        s = self.sampling
        _bind_sampling(self._bound, Sampling(s.temperature[:rows], s.top_k[:rows], s.top_p[:rows]))
        self._bound.input("last_index", np.zeros((rows, 1)), np.int64)
        if self.events is not None and self.gate is not None:
            self.decoder.bind_gate(self._bound, self.gate[:rows])
        self.total.set(self.longest[:, :rows].max(axis=1, keepdims=True))

    def step(self, k: int, rows: int) -> None:
        """Advance the first `rows` rows by one token, which is the k-th of the loop."""
        if rows != self._rows:
            self._bind(rows)
        b = self._binding
        b.input("s1", self.s1, (rows, 1), k)
        b.input("s2", self.s2, (rows, 1), k)
        b.input("stamp", self.stamp, (rows, 1, 5), k)
        b.input("seqlens_k", self.seqlens, (rows,), k)
        b.input("total_sequence_length", self.total, (1,), k)
        b.input("uniform", self.uniform, (rows, 2), k)
        if self.events is not None:
            b.input("event_embedding", self.events, (rows, 1, self.decoder.width), k)
        b.output("next_s1", self.s1, (rows, 1), k + 1)
        b.output("next_s2", self.s2, (rows, 1), k + 1)
        b.run()

    def generated(self) -> tuple[Int64Array, Int64Array]:
        """Tokens drawn so far, (B, steps) each."""
        s1, s2 = (buffer.get()[1:, :, 0].swapaxes(0, 1) for buffer in (self.s1, self.s2))
        return s1, s2  # type: ignore[return-value]


class _Bound:
    """Host values bound as inputs; keeps their memory for as long as the binding lives."""

    def __init__(self, device: Device, binding: Binding) -> None:
        self._device, self._binding = device, binding
        self._kept: list[Buffer] = []

    def input(self, name: str, values: Array, dtype: type[np.generic], device: Device | None = None) -> None:
        buffer = (device or self._device).buffer(values.shape, dtype).set(values)
        self._kept.append(buffer)
        self._binding.input(name, buffer, buffer.shape)


def _bind_sampling(bound: _Bound, sampling: Sampling) -> None:
    bound.input("temperature", sampling.temperature[:, None], np.float32)
    bound.input("top_k", sampling.top_k[:, None], np.int64)
    bound.input("top_p", sampling.top_p[:, None], np.float32)


def _greedy(rows: int) -> Sampling:
    return Sampling(np.ones(rows, np.float32), np.ones(rows, np.int64), np.ones(rows, np.float32))
