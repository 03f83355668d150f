"""Consecutive steps of a batch of rows, with no token visiting the host in between."""

import numpy as np
from numpy.typing import NDArray

from inference_server.decoder import BoundValues, Decoder, Sampling, Tokens, bind_sampling
from inference_server.device import Array, Binding, Buffer

Int64Array = NDArray[np.int64]
Float32Array = NDArray[np.float32]


class StepLoop:
    """Steps of a batch: every row's inputs for every step lie on the device before the first one.

    A step reads slice k of each buffer and writes its tokens to slice k + 1, so nothing is copied and
    no token visits the host until `generated`.
    """

    def __init__(
        self,
        decoder: Decoder,
        capacity: int,
        first_token: int,
        lengths: Int64Array,
        tokens: Tokens,
        sampling: Sampling,
        uniform: Float32Array,
        prefix_length: int = 0,
    ) -> None:
        """Prepare the steps of B rows.

        Parameters
        ----------
        decoder, capacity, first_token, prefix_length
            Where the rows' caches lie: B rows of this capacity, from this token of the pool on, behind a
            prefix that all of them share, if there is one.
        lengths
            Tokens already in each row's own cache, (B,).
        tokens
            s1, s2 (B, 1): the tokens of the first step; stamp (B, steps, 5) and event_embedding
            (B, steps, d_model) of every step's input.
        sampling, uniform
            How rows draw, and the draws (B, steps, 2).
        """
        device = decoder.device
        self.rows, self.steps, self.done = len(lengths), uniform.shape[1], 0
        self._width = decoder.width

        def per_step(values: Array, dtype: type[np.generic]) -> Buffer:
            return device.buffer(values.shape, dtype).set(values)

        first = np.zeros((self.steps + 1, self.rows, 1), np.int64)
        first[0] = tokens.s1
        self._s1 = per_step(first, np.int64)
        first[0] = tokens.s2
        self._s2 = per_step(first, np.int64)
        seqlens = lengths[None, :] + np.arange(self.steps)[:, None]
        self._seqlens = per_step(seqlens, np.int32)
        self._total = device.cpu.buffer((self.steps, 1), np.int32).set(seqlens.max(axis=1, keepdims=True) + 1)
        self._stamp = per_step(tokens.stamp.swapaxes(0, 1)[:, :, None], np.int64)
        self._uniform = per_step(uniform.swapaxes(0, 1), np.float32)
        self._events = (
            None
            if tokens.event_embedding is None
            else per_step(tokens.event_embedding.swapaxes(0, 1)[:, :, None], np.float32)
        )
        session = decoder.paths_session if prefix_length else decoder.session
        assert session is not None
        self._binding = Binding(session)
        bound = self._bound = BoundValues(device, self._binding)
        decoder.pool.bind(self._binding, self.rows, capacity, first_token + prefix_length)
        if prefix_length:
            decoder.pool.bind_prefix(self._binding, prefix_length, first_token)
        bind_sampling(bound, sampling)
        bound.input("last_index", np.zeros((self.rows, 1)), np.int64)
        if self._events is not None:
            decoder.bind_gate(bound, tokens.gate)

    def step(self) -> None:
        """Advance every row by one token."""
        b, k, rows = self._binding, self.done, self.rows
        b.input("s1", self._s1, (rows, 1), k)
        b.input("s2", self._s2, (rows, 1), k)
        b.input("stamp", self._stamp, (rows, 1, 5), k)
        b.input("seqlens_k", self._seqlens, (rows,), k)
        b.input("total_sequence_length", self._total, (1,), k)
        b.input("uniform", self._uniform, (rows, 2), k)
        if self._events is not None:
            b.input("event_embedding", self._events, (rows, 1, self._width), k)
        b.output("next_s1", self._s1, (rows, 1), k + 1)
        b.output("next_s2", self._s2, (rows, 1), k + 1)
        b.run()
        self.done += 1

    def generated(self) -> tuple[Int64Array, Int64Array]:
        """Tokens drawn so far, (B, steps done) each."""
        s1, s2 = (buffer.get()[1 : 1 + self.done, :, 0].swapaxes(0, 1) for buffer in (self._s1, self._s2))
        return s1, s2  # type: ignore[return-value]
