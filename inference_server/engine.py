"""Candles in, sample paths out: the engine, which knows nothing of HTTP or databases."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from inference_server.batching import Batching
from inference_server.bundle import (
    DECODE_FILE,
    ENCODE_FILE,
    EVENTS_FILE,
    TIME_FILE,
    Manifest,
    load_manifest,
)
from inference_server.decoder import Decoder, token_bytes
from inference_server.device import CpuDevice, Device, DeviceMemoryError
from inference_server.event_schema import align_events
from inference_server.jobs import ForecastJob, History, Ticket
from inference_server.normalise import normalise
from inference_server.shared_paths import SHARED_PATHS
from inference_server.slots import BURST
from inference_server.step_loop import Buckets
from inference_server.time_features import time_features

log = logging.getLogger(__name__)

Float32Array = NDArray[np.float32]


class EngineError(ValueError):
    """A job that this engine cannot run; the message says what was given and what is expected."""


class Engine:
    """A loaded bundle; one caller at a time.

    Attributes
    ----------
    fallback
        Why the CPU runs a bundle that a GPU should; None where all is as it should be.
    graph_bytes
        Memory of the device that its CUDA graphs take.
    """

    def __init__(
        self, folder: Path, manifest: Manifest, device: Device, cache_bytes: int | None = None
    ) -> None:
        """Load a bundle whose files have been checked; see `load`."""
        self.manifest, self.device = manifest, device
        self.fallback: str | None = None
        self.graph_bytes = 0
        self._encode = device.session(folder / ENCODE_FILE)
        self._decode = device.session(folder / DECODE_FILE)
        # One small sum, one small product: a second thread costs more than it brings.
        self._time = device.session(folder / TIME_FILE, threads=1)
        self._events = device.session(folder / EVENTS_FILE, threads=1) if manifest.has_events else None
        self.max_context = manifest.max_context
        self.decoder = Decoder(device, folder, manifest)
        self.cache_bytes, self.slot_count, self.shared_tokens = self._allocate(
            device.proposed_cache_bytes() if cache_bytes is None else cache_bytes
        )
        self.buckets = (
            Buckets(self.decoder, self.max_context, self.slot_count, BURST) if device.kind == "cuda" else None
        )

    @classmethod
    def load(cls, bundle: Path, *, cache_bytes: int | None = None, threads: int | None = None) -> Self:
        """Load a bundle on the CPU after checking its files.

        `inference_server.devices` chooses between the CPU and a GPU.

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
        return cls(bundle, load_manifest(bundle), CpuDevice(threads), cache_bytes)

    def _allocate(self, cache_bytes: int) -> tuple[int, int, int]:
        """Take memory for the caches, less than asked for where the device has not so much.

        Returns
        -------
        cache_bytes, slots, shared_tokens
            The bytes, and what `_divide` makes of them.
        """
        while True:
            slots, shared = self._divide(cache_bytes // token_bytes(self.manifest))
            tokens = slots * self.max_context + shared
            cache_bytes = tokens * token_bytes(self.manifest)  # no more than the slots there are can use
            try:
                self.decoder.allocate(tokens)
            except DeviceMemoryError as full:
                log.warning(
                    "%s has no room for a cache of %d MiB (%s): half is tried; KRONOS_CACHE_BYTES sets it",
                    self.device.name,
                    cache_bytes >> 20,
                    full,
                )
                cache_bytes //= 2
            else:
                return cache_bytes, slots, shared

    def _divide(self, cache_tokens: int) -> tuple[int, int]:
        """Slots, and tokens for a job whose paths share their history's cache, that so many tokens make.

        Raises
        ------
        EngineError
            They are too few for one row.
        """
        context = self.max_context
        # Where no graph reads a shared history all rows have slots.
        regions = 2 if self.decoder.graphs.share_prefixes else 1
        if cache_tokens < regions * context:
            raise EngineError(
                f"the cache (KRONOS_CACHE_BYTES) holds {cache_tokens} tokens; {self.manifest.name} needs "
                f"{regions * context}, which are {regions * context * token_bytes(self.manifest)} bytes"
            )
        rows = cache_tokens // regions // context
        slots = min(rows, self.device.work.most_slots)
        return slots, 0 if regions == 1 else rows * context

    @property
    def graph_count(self) -> int:
        """CUDA graphs that the steps are captured as."""
        return len(self.buckets) if self.buckets is not None and self.device.cuda_graphs else 0

    @property
    def cache_tokens(self) -> int:
        """Tokens that the caches hold."""
        return self.decoder.pool.tokens

    @property
    def token_bytes(self) -> int:
        """Bytes of cache that one token of one row takes."""
        return token_bytes(self.manifest)

    def warm_up(self) -> None:
        """Run a small forecast, with events where the bundle has them: the first caller shall not pay.

        On a GPU the steps of every size are captured as well.
        """
        hours = np.arange(40).astype("datetime64[h]").astype("datetime64[us]")
        candles = np.linspace(1.0, 2.0, 32 * 6).reshape(32, 6)
        events = np.zeros((32, 20), np.float32)
        job = ForecastJob(candles, hours[:32], hours[32:])
        for given in (None, events) if self.manifest.has_events else (None,):
            for paths in (2, SHARED_PATHS):  # each has a graph of its own
                self.forecast([replace(job, sample_count=paths, events=given)])
        if self.buckets is not None:
            self.graph_bytes = self.buckets.capture(self.decoder)

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
        scale = normalise(job.candles, upstream_scale=job.upstream_scale)
        s1, s2 = self._encode.run(["s1", "s2"], {"candles": scale.values[None]})
        return History(s1[0], s2[0], self._conditioning(job), job.events is not None, scale)

    def decode(self, ticket: Ticket, first: int, count: int) -> Float32Array:
        """Candles (count, pred_len, 6) of a job's paths, decoded behind the history in view.

        A path one of whose tokens was drawn from logits that are no numbers is NaN.
        """
        history, rows = ticket.encoded, slice(first, first + count)
        start = max(0, len(history) + ticket.job.pred_len - self.max_context)
        s1, s2 = ticket.s1[rows], ticket.s2[rows]
        tokens = {
            "past_s1": history.s1[None, start:],
            "past_s2": history.s2[None, start:],
            "s1": s1,
            "s2": s2,
        }
        (candles,) = self._decode.run(["candles"], tokens)
        restored = history.scale.restore(candles)
        restored[((s1 < 0) | (s2 < 0)).any(axis=1)] = np.nan
        return restored

    def _conditioning(self, job: ForecastJob) -> NDArray[np.floating]:
        """What time and, where the job has them, events add to the embeddings: (T + pred_len, d_model)."""
        stamp = time_features(np.concatenate([job.timestamps, job.future_timestamps]), job.time_zone)
        (time,) = self._time.run(["time_embedding"], {"stamp": stamp[None]})
        conditioning: Float32Array = time[0]
        if job.events is not None and self._events is not None:
            events = np.zeros((len(stamp), job.events.shape[1]), np.float32)
            events[: len(job.events)] = job.events
            aligned = align_events(events, self.manifest.event_alignment)
            (embedding,) = self._events.run(["event_embedding"], {"events": aligned[None]})
            conditioning = conditioning + embedding[0]
        return conditioning.astype(self.decoder.dtype, copy=False)
