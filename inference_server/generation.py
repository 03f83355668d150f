"""The step loop: sample paths of one batch, from tokens to tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference_server.decoder import Decoder, Sampling, StepLoop, Tokens
from inference_server.draws import path_draws

Int64Array = NDArray[np.int64]
Float32Array = NDArray[np.float32]
# Tokens that a refill of several rows runs at once: bounds its activations.
REFILL_TOKENS = 8192
# Paths from which on one product over a shared history beats reading a copy of it per path.
SHARED_PATHS = 8


@dataclass(frozen=True)
class PathRows:
    """Sample paths first_path … first_path + count - 1 of one job, as rows of a batch.

    s1, s2 are the history's tokens (T,), stamp (T + pred_len, 5) and event_embedding
    (T + pred_len, d_model) go on over the prediction window. Where `shared`, the rows read the cache of
    their history from one place.
    """

    job_index: int
    first_path: int
    count: int
    s1: Int64Array
    s2: Int64Array
    stamp: Int64Array
    event_embedding: Float32Array | None
    pred_len: int
    temperature: float
    top_k: int
    top_p: float
    seed: int
    context_stride: int
    shared: bool


def is_exact(length: int, pred_len: int, max_context: int) -> bool:
    """Whether the cache reproduces upstream: the context never slides."""
    return min(length, max_context) + pred_len <= max_context + 1


def shares_prefix(length: int, pred_len: int, sample_count: int, max_context: int) -> bool:
    """Whether a job's paths read their history's cache from one place instead of a copy each.

    A property of the job alone, so that its result is too: which of the two graphs runs may show in
    the last bits.
    """
    return sample_count >= SHARED_PATHS and is_exact(length, pred_len, max_context) and length <= max_context


def generate(
    decoder: Decoder, batch: Sequence[PathRows], max_context: int
) -> list[tuple[Int64Array, Int64Array]]:
    """Tokens s1, s2 (count, pred_len) of every entry of a batch.

    Parameters
    ----------
    batch
        Rows that fit the decoder's cache together. An entry whose context slides, or whose rows share
        their prefix, is a batch of its own.
    """
    # Longest horizon first: the rows still running are always the first ones.
    order = sorted(range(len(batch)), key=lambda i: -batch[i].pred_len)
    run = _Batch(decoder, [batch[i] for i in order], max_context)
    tokens = run.generate()
    first = 0
    out: list[tuple[Int64Array, Int64Array]] = [tokens] * len(batch)
    for i in order:
        rows, columns = slice(first, first + batch[i].count), slice(0, batch[i].pred_len)
        out[i] = (tokens[0][rows, columns], tokens[1][rows, columns])
        first += batch[i].count
    return out


class _Batch:
    def __init__(self, decoder: Decoder, entries: Sequence[PathRows], max_context: int) -> None:
        self.decoder, self.entries, self.max_context = decoder, entries, max_context
        counts = [e.count for e in entries]
        self.owner = np.repeat(np.arange(len(entries)), counts)
        self.rows, self.steps = len(self.owner), max(e.pred_len for e in entries)
        self.pred_len = np.array([e.pred_len for e in entries])[self.owner]
        self.lengths = np.array([len(e.s1) for e in entries])[self.owner]
        self.capacity = min(max_context, int((self.lengths + self.pred_len).max()))
        self.prefix_length = 0
        if entries[0].shared:
            self.prefix_length, self.capacity = len(entries[0].s1) - 1, self.steps
        self.sampling = Sampling(
            np.array([e.temperature for e in entries], np.float32)[self.owner],
            np.array([e.top_k for e in entries], np.int64)[self.owner],
            np.array([e.top_p for e in entries], np.float32)[self.owner],
        )
        self.uniform = np.zeros((self.rows, self.steps, 2), np.float32)
        row = 0
        for e in entries:
            for path in range(e.first_path, e.first_path + e.count):
                self.uniform[row, : e.pred_len] = path_draws(e.seed, path, e.pred_len)
                row += 1
        with_events = [e.event_embedding is not None for e in entries]
        self.gate = np.array(with_events, np.float32)[self.owner] if any(with_events) else None
        self.s1 = np.zeros((self.rows, self.steps), np.int64)
        self.s2 = np.zeros((self.rows, self.steps), np.int64)

    def generate(self) -> tuple[Int64Array, Int64Array]:
        cached = self._prefill()
        done = self._advance(0, cached)
        while done < self.steps:
            cached = self._refill(done)
            done = self._advance(done + 1, cached)
        return self.s1, self.s2

    def _prefill(self) -> Int64Array:
        """Cache every history less its last token; tokens in each row's own cache, (B,)."""
        row = 0
        cached: Int64Array = np.minimum(self.lengths, self.max_context) - 1
        for e in self.entries:
            end = len(e.s1) - 1
            start = end - int(cached[row])
            tokens = Tokens(
                e.s1[None, start:end],
                e.s2[None, start:end],
                e.stamp[None, start:end],
                None if e.event_embedding is None else e.event_embedding[None, start:end],
                None if e.event_embedding is None else np.ones(1, np.float32),
            )
            if self.prefix_length:
                self.decoder.prefill(tokens, self.prefix_length)
                return np.zeros(self.rows, np.int64)
            self.decoder.prefill(tokens, self.capacity, row)
            self.decoder.pool.repeat(self.rows, self.capacity, row, e.count - 1, end - start)
            row += e.count
        return cached

    def _advance(self, done: int, cached: Int64Array) -> int:
        """Step until the horizon or until a context is full; how many tokens of each path exist then."""
        room, wanted = self.max_context - self.prefix_length - cached, self.pred_len - done
        steps = int(min([self.steps - done, *room[room < wanted]]))
        if steps < 1:
            return done
        first_s1, first_s2 = self._latest(done)
        loop = StepLoop(
            self.decoder,
            self.capacity,
            cached,
            Tokens(first_s1, first_s2, *self._inputs(done - 1, done - 1 + steps), self.gate),
            self.sampling,
            self.uniform[:, done : done + steps],
            self.prefix_length,
        )
        for k in range(steps):
            loop.step(k, int((self.pred_len > done + k).sum()))
        self.s1[:, done : done + steps], self.s2[:, done : done + steps] = loop.generated()
        return done + steps

    def _refill(self, done: int) -> Int64Array:
        """Drop the oldest tokens, fill the caches anew and draw one token; tokens cached, (B,)."""
        (entry,) = self.entries
        window = self.max_context + 1 - entry.context_stride
        s1 = np.concatenate([np.tile(entry.s1, (self.rows, 1)), self.s1[:, :done]], axis=1)[:, -window:]
        s2 = np.concatenate([np.tile(entry.s2, (self.rows, 1)), self.s2[:, :done]], axis=1)[:, -window:]
        stamp, embedding = self._inputs(done - window, done)
        for rows in np.array_split(np.arange(self.rows), -(-self.rows * window // REFILL_TOKENS)):
            if not len(rows):
                continue
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            tokens = Tokens(
                s1[part],
                s2[part],
                stamp[part],
                None if embedding is None else embedding[part],
                None if self.gate is None else self.gate[part],
            )
            s = self.sampling
            draw = Sampling(s.temperature[part], s.top_k[part], s.top_p[part])
            self.s1[part, done], self.s2[part, done] = self.decoder.prefill(
                tokens, self.capacity, part.start, draw, self.uniform[part, done]
            )
        return np.full(self.rows, window, np.int64)

    def _latest(self, done: int) -> tuple[Int64Array, Int64Array]:
        """The newest token of every row, (B, 1)."""
        if done:
            return self.s1[:, done - 1 : done], self.s2[:, done - 1 : done]
        last = np.array([(e.s1[-1], e.s2[-1]) for e in self.entries])[self.owner]
        return last[:, :1], last[:, 1:]

    def _inputs(self, first: int, stop: int) -> tuple[Int64Array, Float32Array | None]:
        """Stamps and event embeddings of positions first … stop - 1, 0 being the first generated candle.

        Rows with shorter horizons hold zeros beyond theirs: they have left by then.
        """
        count = stop - first
        stamp = np.zeros((len(self.entries), count, 5), np.int64)
        embedding = None
        if self.gate is not None:
            embedding = np.zeros((len(self.entries), count, self.decoder.width), np.float32)
        for i, e in enumerate(self.entries):
            at = slice(len(e.s1) + first, min(len(e.s1) + stop, len(e.stamp)))
            known = e.stamp[at]
            stamp[i, : len(known)] = known
            if embedding is not None and e.event_embedding is not None:
                embedding[i, : len(known)] = e.event_embedding[at]
        return stamp[self.owner], None if embedding is None else embedding[self.owner]
