"""A loaded bundle: its sessions, its caches, and the ways between candles and tokens."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference_server.engine.bundle import (
    DECODE_FILE,
    ENCODE_FILE,
    EVENTS_FILE,
    INT8_PROBE_FILE,
    TIME_FILE,
    Manifest,
)
from inference_server.engine.decoder import Decoder, token_bytes
from inference_server.engine.device import Device, DeviceMemoryError
from inference_server.engine.int8_products import check_int8_products
from inference_server.engine.jobs import ForecastJob
from inference_server.engine.sequence import EncodedHistory, SequenceGroup
from inference_server.engine.slots import BURST
from inference_server.engine.step_loop import Buckets
from market.event_channels import align_events
from market.normalise import normalise
from market.time_features import time_features
from market.types import Float32Array

log = logging.getLogger(__name__)


# A slot, a row for jobs that share their history, two for windows that slide.
LEAST_ROWS = 4


@dataclass(frozen=True)
class Region:
    """Tokens of the pool from `first` on."""

    first: int
    tokens: int


@dataclass(frozen=True)
class Regions:
    """How the pool of caches is divided, in rows of `context` tokens.

    First the slots, then the rows of jobs whose paths share a history, and those of jobs whose window slides.
    """

    slots: int
    context: int
    shared_rows: int = 0
    window_rows: int = 0

    @property
    def shared(self) -> Region:
        """For jobs whose paths share their history."""
        return Region(self.slots * self.context, self.shared_rows * self.context)

    @property
    def windows(self) -> Region:
        """For jobs whose window slides."""
        shared = self.shared
        return Region(shared.first + shared.tokens, self.window_rows * self.context)

    @property
    def tokens(self) -> int:
        """All of them."""
        return self.windows.first + self.windows.tokens


class EngineError(ValueError):
    """A job that this engine cannot run; the message says what was given and what is expected."""


class Model:
    """A loaded bundle; belongs to one thread.

    Attributes
    ----------
    fallback
        Why the CPU runs a bundle that a GPU should; None where the device is the one wanted.
    graph_bytes
        Memory of the device that its CUDA graphs take.
    """

    def __init__(
        self, folder: Path, manifest: Manifest, device: Device, cache_bytes: int | None = None
    ) -> None:
        """Load a bundle whose files have been checked."""
        self.manifest, self.device = manifest, device
        self.fallback: str | None = None
        self.graph_bytes = 0
        if manifest.precision == "int8":
            check_int8_products(device.session(folder / INT8_PROBE_FILE))
        self._encode = device.session(folder / ENCODE_FILE)
        self._detokenise = device.session(folder / DECODE_FILE)
        # One small sum, one small product: a second thread costs more time than it saves.
        self._time = device.session(folder / TIME_FILE, threads=1)
        self._events = device.session(folder / EVENTS_FILE, threads=1) if manifest.has_events else None
        self.max_context = manifest.max_context
        self.decoder = Decoder(device, folder, manifest)
        self.cache_bytes, self.regions = self._allocate(
            device.proposed_cache_bytes() if cache_bytes is None else cache_bytes
        )
        self.buckets = (
            Buckets(self.decoder, self.max_context, self.slot_count, BURST) if device.kind == "cuda" else None
        )

    def _allocate(self, cache_bytes: int) -> tuple[int, Regions]:
        """Allocate the caches, smaller ones than given where the device lacks the memory.

        Returns
        -------
        cache_bytes, regions
            The bytes, and how they are divided.
        """
        while True:
            regions = self._divide(cache_bytes // token_bytes(self.manifest))
            cache_bytes = regions.tokens * token_bytes(self.manifest)  # the regions cannot use more
            try:
                self.decoder.allocate(regions.tokens)
            except DeviceMemoryError as full:
                log.warning(
                    "%s has no room for a cache of %d MiB (%s): half is tried; KRONOS_CACHE_BYTES sets it",
                    self.device.name,
                    cache_bytes >> 20,
                    full,
                )
                cache_bytes //= 2
            else:
                return cache_bytes, regions

    def _divide(self, cache_tokens: int) -> Regions:
        """Divide a cache of so many tokens.

        Raises
        ------
        EngineError
            They are too few for one row.
        """
        context, most_slots = self.max_context, self.device.work.most_slots
        # Where no graph reads a shared history all rows have slots.
        least = LEAST_ROWS if self.decoder.graphs.share_prefixes else 1
        rows = cache_tokens // context
        if rows < least:
            raise EngineError(
                f"the cache (KRONOS_CACHE_BYTES) holds {cache_tokens} tokens; {self.manifest.name} needs "
                f"{least * context}, which are {least * context * token_bytes(self.manifest)} bytes"
            )
        if least == 1:
            return Regions(min(rows, most_slots), context)
        windows = max(2, rows // 8)
        left = rows - windows
        slots = max(1, min(left * 3 // 7, most_slots))
        return Regions(slots, context, shared_rows=left - slots, window_rows=windows)

    @property
    def slot_count(self) -> int:
        """Rows of different jobs that may step together."""
        return self.regions.slots

    @property
    def shared_tokens(self) -> int:
        """Tokens for jobs whose paths share their history; 0 where no graph reads one."""
        return self.regions.shared.tokens

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

    def encode(self, job: ForecastJob) -> EncodedHistory:
        """Turn a job's history into tokens, and its times and events into what goes with them."""
        scale = normalise(job.candles, upstream_scale=job.upstream_scale)
        s1, s2 = self._encode.run(["s1", "s2"], {"candles": scale.values[None]})
        return EncodedHistory(s1[0], s2[0], self._conditioning(job), job.events is not None, scale)

    def detokenise(self, group: SequenceGroup, first: int, count: int) -> Float32Array:
        """Return candles (count, pred_len, 6) of a job's paths, made of their tokens and the history's.

        A path with a token that was drawn from NaN logits is NaN.
        """
        history, rows = group.history, slice(first, first + count)
        start = max(0, len(history) + group.job.pred_len - self.max_context)
        s1, s2 = group.s1[rows], group.s2[rows]
        tokens = {
            "past_s1": history.s1[None, start:],
            "past_s2": history.s2[None, start:],
            "s1": s1,
            "s2": s2,
        }
        (candles,) = self._detokenise.run(["candles"], tokens)
        restored = history.scale.restore(candles)
        restored[((s1 < 0) | (s2 < 0)).any(axis=1)] = np.nan
        return restored

    def _conditioning(self, job: ForecastJob) -> NDArray[np.floating]:
        """Return what time and, if given, events add to the embeddings: (T + pred_len, d_model)."""
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
