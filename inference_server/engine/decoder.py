"""Runs the decoder over a pool of key/value caches: prefill here, steps in `step_loop`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_server.engine.bundle import CacheLayout, Manifest
from inference_server.engine.decoder_graphs import DecoderGraph, DecoderGraphs
from inference_server.engine.device import (
    Array,
    Binding,
    Buffer,
    Device,
    Packed,
    Span,
    host_span,
)
from market.types import Float32Array, Int64Array

FloatArray = NDArray[np.floating]


@dataclass(frozen=True)
class Sampling:
    """Sampling settings of each row, arrays of length B."""

    temperature: Float32Array
    top_k: Int64Array
    top_p: Float32Array


@dataclass(frozen=True)
class Tokens:
    """New tokens of B rows, S each: s1, s2 (B, S), and what is added to their embeddings.

    `conditioning` (N, d_model) holds what time and events add, `position` (B, S) which of its rows belongs
    to each token, and `gate` (B,) is 1 on the rows that have events.
    """

    s1: Int64Array
    s2: Int64Array
    position: Int64Array
    conditioning: FloatArray
    gate: Float32Array


@dataclass(frozen=True)
class Prefixes:
    """Histories of equal `length` in the pool, one behind the other, that rows share.

    Of B rows the first B / `histories` continue the first one, and so on.
    """

    length: int
    first_token: int
    histories: int = 1

    @property
    def tokens(self) -> int:
        """Tokens of the pool that they take."""
        return self.length * self.histories


class CachePool:
    """The caches of all layers, each used as (rows, heads, capacity, head_dim) of any capacity.

    Caches of one shape lie one behind the other in one buffer: a row of all of them is copied at once.
    """

    def __init__(self, device: Device, layouts: Sequence[CacheLayout], tokens: int, dtype: Any) -> None:
        self.device, self.tokens, self.dtype = device, tokens, np.dtype(dtype)
        self._item_bytes: int = self.dtype.itemsize
        self._names: dict[CacheLayout, list[str]] = {}
        for i, layout in enumerate(layouts):
            self._names.setdefault(layout, []).extend(f"{kind}.{i}" for kind in ("key", "value"))
        self._buffers = {
            layout: device.buffer(len(names) * self._bytes(layout, tokens))
            for layout, names in self._names.items()
        }

    def _bytes(self, layout: CacheLayout, tokens: int) -> int:
        return tokens * layout.heads * layout.head_dim * self._item_bytes

    def bind(self, binding: Binding, rows: int, capacity: int, first_token: int = 0) -> None:
        """Bind rows of the caches as past and, in place, as present; they begin at a token of the pool."""
        for name, span in self._spans(rows, capacity, first_token):
            binding.input(f"past_{name}", span)
            binding.output(f"present_{name}", span)

    def bind_history(self, binding: Binding, length: int, first_token: int) -> None:
        """Bind tokens of the pool as the caches of a history that is taken in."""
        for name, span in self._spans(1, length, first_token):
            binding.output(f"present_{name}", span)

    def bind_prefixes(self, binding: Binding, prefixes: Prefixes) -> None:
        """Bind histories as the prefixes that rows share."""
        for name, span in self._spans(prefixes.histories, prefixes.length, prefixes.first_token):
            binding.input(f"prefix_{name}", span)

    def _spans(self, rows: int, capacity: int, first_token: int) -> list[tuple[str, Span]]:
        spans = []
        for layout, names in self._names.items():
            shape = (rows, layout.heads, capacity, layout.head_dim)
            for place, name in enumerate(names):
                offset = place * self._bytes(layout, self.tokens) + self._bytes(layout, first_token)
                spans.append((name, self._buffers[layout].span(shape, self.dtype, offset)))
        return spans

    def copy(self, capacity: int, source: int, target: int, count: int, length: int) -> None:
        """Copy the first `length` tokens of row `source` to `count` rows from `target` on.

        The pool holds a whole number of rows of this capacity.
        """
        assert self.tokens % capacity == 0
        for layout, names in self._names.items():
            shape = (len(names), self.tokens // capacity, layout.heads, capacity, layout.head_dim)
            rows = self._buffers[layout].span(shape, self.dtype)
            self.device.copy_row(rows, source, target, count, length)


def cache_dtype(manifest: Manifest) -> type[np.floating]:
    """The type of caches and conditioning."""
    return np.float16 if manifest.precision == "fp16" else np.float32


def token_bytes(manifest: Manifest) -> int:
    """Bytes of cache that one token of one row takes."""
    return sum(2 * c.heads * c.head_dim for c in manifest.caches) * np.dtype(cache_dtype(manifest)).itemsize


class Decoder:
    """Runs the decoder's graphs over a pool of caches."""

    def __init__(self, device: Device, folder: Path, manifest: Manifest) -> None:
        self.device, self.width, self.dtype = device, manifest.d_model, cache_dtype(manifest)
        self.graphs = DecoderGraphs(device, folder, manifest)
        self._layouts = manifest.caches
        self._pool: CachePool | None = None
        self._scratch: Buffer | None = None

    def allocate(self, cache_tokens: int) -> None:
        """Allocate the caches anew.

        Raises
        ------
        DeviceMemoryError
            The device has not so much left; there are no caches then.
        """
        self._pool = None
        self._pool = CachePool(self.device, self._layouts, cache_tokens, self.dtype)

    @property
    def pool(self) -> CachePool:
        """The caches, once they have been allocated."""
        assert self._pool is not None
        return self._pool

    def prefill(
        self,
        tokens: Tokens,
        capacity: int,
        first_token: int,
        sampling: Sampling | None = None,
        uniform: Float32Array | None = None,
        prefixes: Prefixes | None = None,
    ) -> tuple[Int64Array, Int64Array]:
        """Fill B cache rows of this capacity with S tokens each; draw the pair that follows.

        Parameters
        ----------
        tokens, capacity, first_token
            What goes into the rows, and where in the pool they begin.
        sampling, uniform
            How rows draw, and the draws (B, 2).
        prefixes
            Histories that the tokens continue; the rows then hold only what follows them.

        Returns
        -------
        s1, s2
            (B,) each; meaningless where no `sampling` and `uniform` (B, 2) are given.
        """
        rows, length = tokens.s1.shape
        graph = self.graphs.of(events=bool(tokens.gate.any()), shared_prefix=prefixes is not None)
        values = (
            self._token_inputs(tokens)
            | {
                "last_index": (np.full((rows, 1), length - 1), np.int64),
                "seqlens_k": (np.full(rows, length - 1), np.int32),
                "uniform": (np.zeros((rows, 2)) if uniform is None else uniform, np.float32),
            }
            | self.constant_inputs(graph, sampling or greedy(rows), tokens.gate)
        )
        drawn: dict[str, tuple[Array, Any]] = {
            name: (np.zeros((rows, 1)), np.int64) for name in ("next_s1", "next_s2")
        }
        total = np.array([length], np.int32)
        binding, spans = self._bound(graph, values, drawn)
        self.pool.bind(binding, rows, capacity, first_token)
        if prefixes is not None:
            self.pool.bind_prefixes(binding, prefixes)
        binding.input("total_sequence_length", host_span(total))
        for name in drawn:
            binding.output(name, spans[name])
        binding.run(self.device.run_options())
        s1, s2 = (self.device.read(spans[name])[:, 0] for name in drawn)
        return s1, s2

    def take_in(self, tokens: Tokens, first_token: int) -> None:
        """Write the caches of a history (1, S) to tokens of the pool, by the graph for histories."""
        graph = self.graphs.history
        assert graph is not None
        values = self._token_inputs(tokens)
        if graph.gated:
            values["adapter_gate"] = (tokens.gate[:, None, None], self.dtype)
        binding, _ = self._bound(graph, values, {})
        self.pool.bind_history(binding, tokens.s1.shape[1], first_token)
        binding.run(self.device.run_options())

    def _token_inputs(self, tokens: Tokens) -> dict[str, tuple[Array, Any]]:
        return {
            "s1": (tokens.s1, np.int64),
            "s2": (tokens.s2, np.int64),
            "position": (tokens.position, np.int64),
            "conditioning": (tokens.conditioning, self.dtype),
        }

    def _bound(
        self,
        graph: DecoderGraph,
        values: dict[str, tuple[Array, Any]],
        outputs: dict[str, tuple[Array, Any]],
    ) -> tuple[Binding, dict[str, Span]]:
        """Copy inputs to the device and bind them; return memory for the outputs too, by all names."""
        packed = Packed({name: (v.shape, dtype) for name, (v, dtype) in (values | outputs).items()})
        scratch = self._scratch_of(packed.nbytes)
        spans = packed.spans(scratch)
        given = packed.filled({name: value for name, (value, _) in values.items()})
        self.device.write(scratch.span(given.shape, np.uint8), given)
        binding = Binding(graph.session)
        for name, span in graph.fixed.items():
            binding.input(name, span)
        for name in values:
            binding.input(name, spans[name])
        return binding, spans

    def constant_inputs(
        self, graph: DecoderGraph, sampling: Sampling, gate: Float32Array
    ) -> dict[str, tuple[Array, Any]]:
        """Return the inputs of a graph that are equal at every step, and their types."""
        values: dict[str, tuple[Array, Any]] = {
            "temperature": (sampling.temperature[:, None], np.float32),
            "top_k": (sampling.top_k[:, None], np.int64),
            "top_p": (sampling.top_p[:, None], np.float32),
        }
        if graph.gated:
            values["adapter_gate"] = (gate[:, None, None], self.dtype)
        return values

    def _scratch_of(self, nbytes: int) -> Buffer:
        """Return memory that the next call reuses."""
        if self._scratch is None or self._scratch.nbytes < nbytes:
            self._scratch = None
            self._scratch = self.device.buffer(1 << (nbytes - 1).bit_length())
        return self._scratch


def greedy(rows: int) -> Sampling:
    """Return settings that draw the most probable token."""
    return Sampling(np.ones(rows, np.float32), np.ones(rows, np.int64), np.ones(rows, np.float32))
