"""Runs the decoder over a pool of key/value caches: prefill here, steps in `step_loop`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_server.engine.bundle import EIGHT_BITS, CacheLayout, Manifest
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
        self._names: dict[CacheLayout, list[str]] = {}
        for i, layout in enumerate(layouts):
            self._names.setdefault(layout, []).extend(f"{kind}.{i}" for kind in ("key", "value"))
        self._buffers = {
            layout: device.buffer(len(names) * self._bytes(layout, tokens))
            for layout, names in self._names.items()
        }

    def _bytes(self, layout: CacheLayout, tokens: int) -> int:
        return tokens * layout_bytes(layout, self.dtype)

    def bind(self, binding: Binding, rows: int, capacity: int, first_token: int = 0) -> None:
        """Bind rows of the caches as past and, in place, as present; they begin at a token of the pool."""
        for name, span in self._spans(rows, capacity, first_token):
            binding.input(f"past_{name}", span)
            binding.output(f"present_{name}", span)

    def bind_history(self, binding: Binding, length: int) -> None:
        """Bind the beginning of the pool as the caches of a row that is taken in, `length` tokens long."""
        for name, span in self._spans(1, length, 0):
            binding.output(f"present_{name}", span)

    def bind_prefix(self, binding: Binding, prefixes: Prefixes, history: int) -> None:
        """Bind one of the histories as the caches of a row that is taken in."""
        first_token = prefixes.first_token + history * prefixes.length
        for name, span in self._spans(1, prefixes.length, first_token):
            binding.output(f"present_{name}", span)

    def bind_prefixes(self, binding: Binding, prefixes: Prefixes) -> None:
        """Bind histories as the prefixes that rows share."""
        for name, span in self._spans(prefixes.histories, prefixes.length, prefixes.first_token):
            binding.input(f"prefix_{name}", span)

    def _spans(self, rows: int, capacity: int, first_token: int) -> list[tuple[str, Span]]:
        spans = []
        for layout, names in self._names.items():
            shape = (rows, layout.heads, capacity, layout.head_dim)
            dtype = cache_type(layout, self.dtype)
            for place, name in enumerate(names):
                offset = place * self._bytes(layout, self.tokens) + self._bytes(layout, first_token)
                spans.append((name, self._buffers[layout].span(shape, dtype, offset)))
        return spans

    def copy_row(self, source: "CachePool", capacity: int, target: int, length: int) -> None:
        """Copy the row of `length` tokens at the beginning of another pool to one of this capacity."""
        targets = self._spans(1, capacity, target * capacity)
        for (_, into), (_, taken) in zip(targets, source._spans(1, length, 0), strict=True):
            for head in range(into.shape[1]):
                self.device.copy(_of_head(into, head, length), _of_head(taken, head, length))

    def copy(self, capacity: int, source: int, target: int, count: int, length: int) -> None:
        """Copy the first `length` tokens of row `source` to `count` rows from `target` on.

        The pool holds a whole number of rows of this capacity.
        """
        assert self.tokens % capacity == 0
        for layout, names in self._names.items():
            shape = (len(names), self.tokens // capacity, layout.heads, capacity, layout.head_dim)
            rows = self._buffers[layout].span(shape, cache_type(layout, self.dtype))
            self.device.copy_row(rows, source, target, count, length)


def _of_head(row: Span, head: int, length: int) -> Span:
    """Return the first tokens of one head of a row (1, heads, capacity, head_dim)."""
    _, _, capacity, head_dim = row.shape
    offset = head * capacity * head_dim * row.dtype.itemsize
    return replace(row, pointer=row.pointer + offset, shape=(length, head_dim))


def activation_type(manifest: Manifest) -> type[np.floating]:
    """The type of activations and conditioning, and of caches that are not 8-bit."""
    return np.float16 if manifest.precision == "fp16" else np.float32


def cache_type(layout: CacheLayout, activations: Any) -> np.dtype[Any]:
    """Return the type of a cache."""
    return np.dtype(layout.dtype or activations)


def layout_bytes(layout: CacheLayout, activations: Any) -> int:
    """Return the bytes that a token takes of one key or value cache."""
    return layout.heads * layout.head_dim * cache_type(layout, activations).itemsize


def token_bytes(manifest: Manifest) -> int:
    """Bytes of cache that one token of one row takes."""
    dtype = activation_type(manifest)
    return sum(2 * layout_bytes(layout, dtype) for layout in manifest.caches)


class Decoder:
    """Runs the decoder's graphs over a pool of caches."""

    def __init__(self, device: Device, folder: Path, manifest: Manifest) -> None:
        self.device, self.width, self.dtype = device, manifest.d_model, activation_type(manifest)
        self.graphs = DecoderGraphs(device, folder, manifest)
        self._layouts = manifest.caches
        self._pool: CachePool | None = None
        self._history: CachePool | None = None  # a row that is taken in, before it is copied
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

    @property
    def takes_in_rows(self) -> bool:
        """Whether rows with a cache each are filled by `take_in_row` instead of `prefill`.

        The kernel that fills 8-bit caches takes longer than the graph for histories. Other caches are filled
        by the graph that steps them: threads of another session would spin on beside the first steps, which
        takes more time of Kronos-mini than that graph saves.
        """
        return self.graphs.history is not None and any(c.dtype == EIGHT_BITS for c in self._layouts)

    def take_in(self, tokens: Tokens, prefixes: Prefixes, history: int = 0) -> None:
        """Write the caches of a history (1, S) to its place among prefixes that rows share."""
        binding = self._history_binding(tokens)
        self.pool.bind_prefix(binding, prefixes, history)
        binding.run(self.device.run_options())

    def take_in_row(self, tokens: Tokens, capacity: int, row: int) -> None:
        """Write the caches of a history (1, S) to a row of this capacity."""
        length = tokens.s1.shape[1]
        if self._history is None:
            self._history = CachePool(self.device, self._layouts, capacity, self.dtype)
        binding = self._history_binding(tokens)
        self._history.bind_history(binding, length)
        binding.run(self.device.run_options())
        self.pool.copy_row(self._history, capacity, row, length)

    def _history_binding(self, tokens: Tokens) -> Binding:
        graph = self.graphs.history
        assert graph is not None
        values = self._token_inputs(tokens)
        if graph.gated:
            values["adapter_gate"] = (tokens.gate[:, None, None], self.dtype)
        binding, _ = self._bound(graph, values, {})
        return binding

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
