"""Candles in, sample paths out: the engine, which knows nothing of HTTP or databases."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from inference_server.batching import Batching
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
from inference_server.jobs import ForecastJob, History, Ticket
from inference_server.normalise import normalise
from inference_server.shared_paths import SHARED_PATHS
from inference_server.time_features import time_features

Float32Array = NDArray[np.float32]
CACHE_BYTES = 2 << 30
# Rows beyond which a step gains nothing from another one on a CPU.
MOST_SLOTS = 64


class EngineError(ValueError):
    """A job that this engine cannot run; the message says what was given and what is expected."""


class Engine:
    """A loaded bundle; one caller at a time."""

    def __init__(
        self, folder: Path, manifest: Manifest, cache_bytes: int | None = None, threads: int | None = None
    ) -> None:
        self.manifest = manifest
        self.device = choose_device(threads, folder / COPY_FILE, manifest.precision)
        self._encode = self.device.session(folder / ENCODE_FILE)
        self._decode = self.device.session(folder / DECODE_FILE)
        # One small product: a second thread costs more than it brings.
        self._events = self.device.session(folder / EVENTS_FILE, threads=1) if manifest.has_events else None
        self.max_context = manifest.max_context
        self.slot_count, self.shared_tokens = self._divide(
            (CACHE_BYTES if cache_bytes is None else cache_bytes) // token_bytes(manifest)
        )
        self.cache_tokens = self.slot_count * self.max_context + self.shared_tokens
        self.decoder = Decoder(self.device, folder, manifest, self.cache_tokens)

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

    def _divide(self, cache_tokens: int) -> tuple[int, int]:
        """Slots, and tokens for a job whose paths share their history's cache, that so many tokens make."""
        context = self.max_context
        # CUDA's attention kernel doesn't hand out the scores that sharing takes: all rows have slots there.
        regions = 2 if self.device.kind == "cpu" else 1
        if cache_tokens < regions * context:
            raise EngineError(
                f"the cache (KRONOS_CACHE_BYTES) holds {cache_tokens} tokens; {self.manifest.name} needs "
                f"{regions * context}, which are {regions * context * token_bytes(self.manifest)} bytes"
            )
        slots = cache_tokens // regions // context
        if self.device.kind == "cpu":
            slots = min(slots, MOST_SLOTS)
            return slots, cache_tokens // regions
        return slots, 0

    @property
    def token_bytes(self) -> int:
        """Bytes of cache that one token of one row takes."""
        return token_bytes(self.manifest)

    def warm_up(self) -> None:
        """Run a small forecast, with events where the bundle has them: the first caller shall not pay."""
        hours = np.arange(40).astype("datetime64[h]").astype("datetime64[us]")
        candles = np.linspace(1.0, 2.0, 32 * 6).reshape(32, 6)
        events = np.zeros((32, 20), np.float32)
        job = ForecastJob(candles, hours[:32], hours[32:])
        for given in (None, events) if self.manifest.has_events else (None,):
            for paths in (2, SHARED_PATHS):  # each has a graph of its own
                self.forecast([replace(job, sample_count=paths, events=given)])

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
            self.check(job)
        batching = Batching(self)
        tickets = [batching.submit(job) for job in jobs]
        while not batching.idle:
            batching.advance()
        return [ticket.paths for ticket in tickets]

    def check(self, job: ForecastJob) -> None:
        """Raise `EngineError` where a job is impossible."""
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

    def encode(self, job: ForecastJob) -> History:
        """Turn a job's history into tokens, and its times and events into what goes with them."""
        scale = normalise(job.candles)
        s1, s2 = self._encode.run(["s1", "s2"], {"candles": scale.values[None]})
        stamp = time_features(np.concatenate([job.timestamps, job.future_timestamps]))
        return History(s1[0], s2[0], stamp, self._event_embedding(job), scale)

    def decode(self, ticket: Ticket, first: int, count: int) -> Float32Array:
        """Candles (count, pred_len, 6) of a job's paths, decoded behind the history in view."""
        history, rows = ticket.encoded, slice(first, first + count)
        start = max(0, len(history) + ticket.job.pred_len - self.max_context)
        tokens = {
            "past_s1": history.s1[None, start:],
            "past_s2": history.s2[None, start:],
            "s1": ticket.s1[rows],
            "s2": ticket.s2[rows],
        }
        (candles,) = self._decode.run(["candles"], tokens)
        return history.scale.restore(candles)

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
