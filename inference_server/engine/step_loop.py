"""Consecutive steps of a batch of rows; the tokens stay on the device between them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference_server.engine.decoder import Decoder, FloatArray, Prefixes, Sampling, Tokens, greedy
from inference_server.engine.device import Array, Binding, Buffer, Packed, Span, host_span
from market.types import Float32Array, Int64Array

log = logging.getLogger(__name__)

DRAWN = ("s1", "s2")
# While a step is captured nothing may be allocated: by then ONNX Runtime's arena must hold all that a step
# needs. The first runs extend it in different orders; after three runs no extension was seen.
RUNS_BEFORE_CAPTURE = 3


@dataclass(frozen=True)
class Caches:
    """Where the rows of a loop keep their keys and values.

    Rows of `capacity` tokens from token `first_token` of the pool on, which continue `prefixes`, if there are
    any.
    """

    capacity: int
    first_token: int = 0
    prefixes: Prefixes | None = None


class StepBuffers:
    """The memory of a loop's inputs and outputs, bound once.

    The inputs of one step lie behind each other as one *record*, and those of all steps in a table of
    records. A step copies its record to where the inputs are bound, runs, and copies the tokens drawn to the
    next record. So every step reads and writes the same memory, as a CUDA graph must.
    """

    def __init__(
        self,
        decoder: Decoder,
        caches: Caches,
        rows: int,
        steps: int,
        candles: int,
        *,
        events: bool,
        conditioning: Buffer | None = None,
    ) -> None:
        """Allocate and bind.

        Parameters
        ----------
        decoder, caches
            The model, and where the rows' caches lie.
        rows, steps, candles
            Rows that step together, steps at most, and rows of conditioning.
        events
            Whether any of the rows may have events.
        conditioning
            Memory for the conditioning, where loops share it.
        """
        self.rows, self.steps, self.capacity = rows, steps, caches.capacity
        self.graph: int | None = None  # the number of the CUDA graph that the step is captured as
        self._decoder, self._device = decoder, decoder.device
        device = self._device
        self._decoder_graph = decoder.graphs.of(events=events, shared_prefix=caches.prefixes is not None)
        self.record = Packed(
            {
                "s1": ((rows, 1), np.int64),  # the tokens first: one copy of them alone follows each step
                "s2": ((rows, 1), np.int64),
                "position": ((rows, 1), np.int64),
                "uniform": ((rows, 2), np.float32),
                "seqlens_k": ((rows,), np.int32),
            }
        )
        self._idle = decoder.constant_inputs(self._decoder_graph, greedy(rows), np.zeros(rows, np.float32))
        self._constants = Packed({name: (value.shape, dtype) for name, (value, dtype) in self._idle.items()})
        self._current, self._drawn = (device.buffer(self.record.nbytes) for _ in range(2))
        self._table = device.buffer((steps + 1) * self.record.nbytes)
        self._fixed = device.buffer(self._constants.nbytes)
        self._last = device.buffer(rows * 8)
        shape = (candles, decoder.width)
        size = candles * decoder.width * np.dtype(decoder.dtype).itemsize
        self._conditioning = conditioning or device.buffer(size)
        self._total = np.array([caches.capacity], np.int32)
        self._follow_rows = device.kind == "cpu"
        self._steps_of = [self._record(k) for k in range(steps + 1)]
        self._whole = self._current.span((self.record.nbytes,), np.uint8)
        self._tokens = [self._token_part(k) for k in range(steps + 1)]
        self._new = self._drawn.span((self.record.offsets["position"],), np.uint8)
        self._binding = self._bind(decoder, caches, self._conditioning.span(shape, decoder.dtype))

    def _record(self, step: int) -> Span:
        return self._table.span((self.record.nbytes,), np.uint8, step * self.record.nbytes)

    def _token_part(self, step: int) -> Span:
        return self._table.span((self.record.offsets["position"],), np.uint8, step * self.record.nbytes)

    def _bind(self, decoder: Decoder, caches: Caches, conditioning: Span) -> Binding:
        binding = Binding(self._decoder_graph.session)
        for name, span in self._decoder_graph.fixed.items():
            binding.input(name, span)
        decoder.pool.bind(binding, self.rows, caches.capacity, caches.first_token)
        if caches.prefixes is not None:
            decoder.pool.bind_prefixes(binding, caches.prefixes)
        for name, span in (self.record.spans(self._current) | self._constants.spans(self._fixed)).items():
            binding.input(name, span)
        last = self._last.span((self.rows, 1), np.int64)
        self._device.write(last, np.zeros(last.shape, np.int64))
        binding.input("last_index", last)
        binding.input("conditioning", conditioning)
        binding.input("total_sequence_length", host_span(self._total))
        outputs = self.record.spans(self._drawn)
        for name in DRAWN:
            binding.output(f"next_{name}", outputs[name])
        return binding

    def fill(
        self, records: NDArray[np.uint8], sampling: Sampling, gate: Float32Array, conditioning: FloatArray
    ) -> None:
        """Copy the records of the steps to come, and what all of them share.

        `sampling` and `gate` are of the rows in use; `conditioning` may have fewer rows than fit.
        """
        constants = self._constants.filled({name: value for name, (value, _) in self._idle.items()})
        for name, (value, _) in self._decoder.constant_inputs(self._decoder_graph, sampling, gate).items():
            self._constants.view(constants, name)[0, : len(gate)] = value
        device = self._device
        device.write(self._table.span(records.shape, np.uint8), records)
        device.write(self._fixed.span(constants.shape, np.uint8), constants)
        device.write(self._conditioning.span(conditioning.shape, self._decoder.dtype), conditioning)

    def step(self, k: int, longest: int) -> None:
        """Run step k; `longest` is the most tokens in a row's cache after it."""
        if self._follow_rows:
            # A GPU's kernels use each row's own length; a captured step would keep the number of its capture.
            self._total[0] = longest
        self._device.copy(self._whole, self._steps_of[k])
        self._binding.run(self._device.run_options(self.graph))
        self._device.copy(self._tokens[k + 1], self._new)

    def drawn(self, count: int) -> list[Array]:
        """Return s1 and s2 drawn by the first `count` steps, (rows, count) each."""
        table = self._device.read(self._table.span((self.steps + 1, self.record.nbytes), np.uint8))
        return [self.record.view(table, name)[1 : 1 + count, :, 0].swapaxes(0, 1) for name in DRAWN]


class StepLoop:
    """Steps of a batch; the inputs of all steps are on the device before the first one."""

    def __init__(
        self,
        decoder: Decoder,
        caches: Caches,
        lengths: Int64Array,
        tokens: Tokens,
        sampling: Sampling,
        uniform: Float32Array,
        buffers: StepBuffers | None = None,
    ) -> None:
        """Prepare the steps of B rows.

        Parameters
        ----------
        decoder, caches
            The model, and where the rows' caches lie.
        lengths
            Tokens already in each row's own cache, (B,).
        tokens
            s1, s2 (B, 1): the tokens of the first step; position (B, steps) of every step's input.
        sampling, uniform
            How rows draw, and the draws (B, steps, 2).
        buffers
            Memory bound before, for at least so many rows and steps; surplus rows have no
            effect on others, but they write to the first token of their caches.
        """
        self.rows, self.steps, self.done = len(lengths), uniform.shape[1], 0
        self._longest: Sequence[int] = (int(lengths.max()) + 1 + np.arange(self.steps)).tolist()
        self._buffers = buffers or StepBuffers(
            decoder,
            caches,
            self.rows,
            self.steps,
            len(tokens.conditioning),
            events=bool(tokens.gate.any()),
        )
        record, rows = self._buffers.record, slice(self.rows)
        records = record.host(self.steps + 1)
        record.view(records, "s1")[0, rows] = tokens.s1
        record.view(records, "s2")[0, rows] = tokens.s2
        steps = records[:-1]
        record.view(steps, "position")[:, rows, 0] = tokens.position.T
        record.view(steps, "uniform")[:, rows] = uniform.swapaxes(0, 1)
        record.view(steps, "seqlens_k")[:, rows] = lengths[None, :] + np.arange(self.steps)[:, None]
        self._buffers.fill(records, sampling, tokens.gate, tokens.conditioning)

    def step(self) -> None:
        """Advance every row by one token; on a GPU the call returns before it is done."""
        self._buffers.step(self.done, self._longest[self.done])
        self.done += 1

    def generated(self) -> tuple[Int64Array, Int64Array]:
        """Return the tokens drawn so far, (B, steps done) each."""
        s1, s2 = (drawn[: self.rows] for drawn in self._buffers.drawn(self.done))
        return s1, s2


class Buckets:
    """Memory for the steps of 1, 2, 4, 8, … rows on a GPU, bound once and captured as a CUDA graph each.

    A batch of rows that falls between two sizes takes the larger one; surplus rows write to slots that
    are empty. A captured step belongs to its memory, so this lives as long as the decoder.
    """

    def __init__(self, decoder: Decoder, max_context: int, most_rows: int, steps: int) -> None:
        device = decoder.device
        self._sizes = bucket_sizes(most_rows)
        candles = most_rows * steps
        self._conditioning = device.buffer(candles * decoder.width * np.dtype(decoder.dtype).itemsize)
        self._buffers = {
            rows: StepBuffers(
                decoder,
                Caches(max_context),
                rows,
                steps,
                candles,
                events=True,
                conditioning=self._conditioning,
            )
            for rows in self._sizes
        }

    def __len__(self) -> int:
        return len(self._sizes)

    def of(self, rows: int) -> StepBuffers:
        """Return the memory for so many rows, or for the next larger number."""
        return self._buffers[next(size for size in self._sizes if size >= rows)]

    def capture(self, decoder: Decoder) -> int:
        """Run a step of every size, on zeros, until it is captured as a CUDA graph; the slots must be free.

        Returns
        -------
        int
            Bytes of the device that this took.
        """
        device = decoder.device
        before = device.free_bytes
        for number, (rows, buffers) in enumerate(self._buffers.items(), start=1):
            column = np.zeros((rows, 1), np.int64)
            nothing = np.zeros((1, decoder.width), decoder.dtype)
            tokens = Tokens(column, column, column, nothing, np.zeros(rows, np.float32))
            draws = np.zeros((rows, 1, 2), np.float32)
            caches = Caches(buffers.capacity)
            for run in range(RUNS_BEFORE_CAPTURE + device.cuda_graphs):
                if run == RUNS_BEFORE_CAPTURE:
                    buffers.graph = number
                StepLoop(decoder, caches, column[:, 0], tokens, greedy(rows), draws, buffers).step()
        device.wait()
        taken = max(0, before - device.free_bytes)
        log.info("steps of %s rows are prepared on %s, %d MiB", self._sizes, device.name, taken >> 20)
        return taken


def bucket_sizes(most_rows: int) -> list[int]:
    """Return the numbers of rows that steps are prepared for: at most half more than requested.

    From 8 on each power of two and the number half-way to the next; the last is `most_rows`.
    """
    sizes, power = [1, 2, 4], 8
    while power < most_rows:
        sizes += [power, power * 3 // 2]
        power *= 2
    return [size for size in sizes if size < most_rows] + [most_rows]
