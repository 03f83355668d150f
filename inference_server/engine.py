"""Candles in, sample paths out: the engine, which knows nothing of HTTP or databases."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from inference_server.bundle import (
    COPY_FILE,
    DECODE_FILE,
    ENCODE_FILE,
    EVENTS_FILE,
    Manifest,
    load_manifest,
)
from inference_server.decoder import Decoder, token_bytes
from inference_server.device import choose_device
from inference_server.event_schema import align_events
from inference_server.generation import PathRows, generate, is_exact, shares_prefix
from inference_server.normalise import Normalised, normalise
from inference_server.time_features import DatetimeArray, time_features

Float32Array = NDArray[np.float32]
CACHE_BYTES = 2 << 30
# Rows of a final decode that run at once: bounds the attention matrices of many paths.
DECODE_ROWS = 32


class EngineError(ValueError):
    """A job that this engine cannot run; the message says what was given and what is expected."""


@dataclass(frozen=True)
class ForecastJob:
    """One history to continue.

    Attributes
    ----------
    candles
        (T, 6): open, high, low, close, volume, amount in raw units, oldest first.
    timestamps, future_timestamps
        (T,) and (pred_len,), datetime64 in UTC.
    seed
        0 … 2^63 - 1; with the path's index it determines every draw.
    context_stride
        Tokens dropped at once when the context is full; 1 is upstream token for token.
    events
        (T, 20), where nothing is known of the prediction window, or (T + pred_len, 20); None for a
        forecast by the base model.
    """

    candles: NDArray[np.floating]
    timestamps: DatetimeArray
    future_timestamps: DatetimeArray
    sample_count: int = 1
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 0.9
    seed: int = 0
    context_stride: int = 1
    events: Float32Array | None = None


@dataclass(frozen=True)
class _Prepared:
    """A job as tokens: what generation reads and what turns its tokens back into candles."""

    job: ForecastJob
    scale: Normalised
    s1: NDArray[np.int64]
    s2: NDArray[np.int64]
    stamp: NDArray[np.int64]
    event_embedding: Float32Array | None


class Engine:
    """A loaded bundle; one caller at a time."""

    def __init__(
        self, folder: Path, manifest: Manifest, cache_bytes: int | None = None, threads: int | None = None
    ) -> None:
        self.manifest = manifest
        self.device = choose_device(threads, folder / COPY_FILE, manifest.precision)
        self._encode = self.device.session(folder / ENCODE_FILE)
        self._decode = self.device.session(folder / DECODE_FILE)
        self._events = self.device.session(folder / EVENTS_FILE) if manifest.has_events else None
        cache_tokens = (CACHE_BYTES if cache_bytes is None else cache_bytes) // token_bytes(manifest)
        if cache_tokens < manifest.max_context:
            raise EngineError(
                f"cache_bytes {cache_bytes} hold {cache_tokens} tokens; one row of {manifest.name} needs "
                f"{manifest.max_context}, which is {manifest.max_context * token_bytes(manifest)} bytes"
            )
        self.decoder = Decoder(self.device, folder, manifest, cache_tokens)

    @classmethod
    def load(cls, bundle: Path, *, cache_bytes: int | None = None, threads: int | None = None) -> Self:
        """Load a bundle after checking its files.

        Parameters
        ----------
        bundle
            The bundle's directory.
        cache_bytes
            Memory for key/value caches, 2 GiB unless given; more lets more sample paths run at once.
        threads
            Threads per session; every core unless given.

        Raises
        ------
        BundleError
            The bundle is missing, altered or not understood.
        EngineError
            The cache is too small for one row.
        """
        return cls(bundle, load_manifest(bundle), cache_bytes, threads)

    def warm_up(self) -> None:
        """Run a small forecast, with events where the bundle has them: the first caller shall not pay."""
        hours = np.arange(40).astype("datetime64[h]").astype("datetime64[us]")
        candles = np.linspace(1.0, 2.0, 32 * 6).reshape(32, 6)
        events = np.zeros((32, 20), np.float32)
        for given in (None, events) if self.manifest.has_events else (None,):
            self.forecast([ForecastJob(candles, hours[:32], hours[32:], sample_count=2, events=given)])

    def forecast(self, jobs: Sequence[ForecastJob]) -> list[Float32Array]:
        """Sample paths of every job, in raw units.

        Jobs may differ in every setting. A job's result depends on the job alone: in float32 on the
        CPU it is the same to the bit whatever runs beside it.

        Returns
        -------
        list of ndarray
            (sample_count, pred_len, 6) for each job, float32.

        Raises
        ------
        EngineError
            A job is impossible; nothing was run.
        """
        for job in jobs:
            self._check(job)
        prepared = [self._prepare(job) for job in jobs]
        shapes = [(job.sample_count, len(job.future_timestamps)) for job in jobs]
        tokens = [(np.zeros(shape, np.int64), np.zeros(shape, np.int64)) for shape in shapes]
        for batch in self._batches(prepared):
            generated = generate(self.decoder, batch, self.manifest.max_context)
            for rows, pair in zip(batch, generated, strict=True):
                for target, drawn in zip(tokens[rows.job_index], pair, strict=True):
                    target[rows.first_path : rows.first_path + rows.count] = drawn
        return [self._restore(p, *pair) for p, pair in zip(prepared, tokens, strict=True)]

    def _check(self, job: ForecastJob) -> None:
        length, pred_len = len(job.candles), len(job.future_timestamps)
        m = self.manifest
        if job.candles.shape != (length, 6) or len(job.timestamps) != length or length < 2:
            raise EngineError(
                f"candles {job.candles.shape} and timestamps {job.timestamps.shape}: (T, 6) and (T,) are "
                "expected, T at least 2"
            )
        if not 1 <= pred_len <= m.max_context:
            raise EngineError(f"pred_len is {pred_len}; 1 to {m.max_context} (max_context) is possible")
        if job.sample_count < 1:
            raise EngineError(f"sample_count is {job.sample_count}; at least 1 is expected")
        if not 1 <= job.context_stride < m.max_context:
            raise EngineError(f"context_stride is {job.context_stride}; 1 to {m.max_context - 1} is possible")
        if job.events is None:
            return
        if not m.has_events:
            raise EngineError(f"the bundle {m.name} has no EventEncoder, so events cannot be used")
        channels = len(m.event_channels)
        if job.events.shape not in ((length, channels), (length + pred_len, channels)):
            raise EngineError(
                f"events have shape {job.events.shape}; expected is ({length}, {channels}) or "
                f"({length + pred_len}, {channels})"
            )

    def _prepare(self, job: ForecastJob) -> _Prepared:
        scale = normalise(job.candles)
        s1, s2 = self._encode.run(["s1", "s2"], {"candles": scale.values[None]})
        stamp = time_features(np.concatenate([job.timestamps, job.future_timestamps]))
        return _Prepared(job, scale, s1[0], s2[0], stamp, self._event_embedding(job))

    def _event_embedding(self, job: ForecastJob) -> Float32Array | None:
        if job.events is None or self._events is None:
            return None
        rows = len(job.candles) + len(job.future_timestamps)
        events = np.zeros((rows, job.events.shape[1]), np.float32)
        events[: len(job.events)] = job.events
        aligned = align_events(events, self.manifest.event_alignment)
        (embedding,) = self._events.run(["event_embedding"], {"events": aligned[None]})
        out: Float32Array = embedding[0]
        return out

    def _batches(self, prepared: Sequence[_Prepared]) -> list[list[PathRows]]:
        """Split jobs into batches whose caches fit.

        A job whose context slides, and one whose paths share their history's cache, run by themselves.
        """
        max_context, budget = self.manifest.max_context, self.decoder.pool.tokens
        batches: list[list[PathRows]] = []
        current: list[PathRows] = []
        used, widest = 0, 0
        for index, p in enumerate(prepared):
            length, pred_len = len(p.s1), len(p.job.future_timestamps)
            shared = self.decoder.paths_session is not None and shares_prefix(
                length, pred_len, p.job.sample_count, max_context
            )
            alone = shared or not is_exact(length, pred_len, max_context)
            need = min(length + pred_len, max_context)
            first = 0
            while first < p.job.sample_count:
                capacity = max(widest, need)
                room = (budget - length) // pred_len if shared else budget // capacity - used
                if room < 1 or (current and alone):
                    batches.append(current)
                    current, used, widest = [], 0, 0
                    continue
                count = min(room, p.job.sample_count - first)
                current.append(_rows(p, index, first, count, shared))
                used, widest, first = used + count, capacity, first + count
                if alone:
                    batches.append(current)
                    current, used, widest = [], 0, 0
        return [*batches, current] if current else batches

    def _restore(self, p: _Prepared, s1: NDArray[np.int64], s2: NDArray[np.int64]) -> Float32Array:
        """Candles (sample_count, pred_len, 6) of generated tokens, decoded behind the history in view."""
        length, pred_len = len(p.s1), s1.shape[1]
        start = max(0, length + pred_len - self.manifest.max_context)
        past = {"past_s1": p.s1[None, start:], "past_s2": p.s2[None, start:]}
        parts = [
            self._decode.run(
                ["candles"], past | {"s1": s1[i : i + DECODE_ROWS], "s2": s2[i : i + DECODE_ROWS]}
            )[0]
            for i in range(0, len(s1), DECODE_ROWS)
        ]
        return p.scale.restore(np.concatenate(parts))


def _rows(p: _Prepared, index: int, first: int, count: int, shared: bool) -> PathRows:
    job = p.job
    return PathRows(
        job_index=index,
        first_path=first,
        count=count,
        s1=p.s1,
        s2=p.s2,
        stamp=p.stamp,
        event_embedding=p.event_embedding,
        pred_len=len(job.future_timestamps),
        temperature=job.temperature,
        top_k=job.top_k,
        top_p=job.top_p,
        seed=job.seed,
        context_stride=job.context_stride,
        shared=shared,
    )
