"""The engine: candles in, sample paths out."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np

from inference_server.engine.batching import Batching
from inference_server.engine.bundle import load_manifest
from inference_server.engine.device import CpuDevice
from inference_server.engine.jobs import ForecastJob
from inference_server.engine.model import Model
from inference_server.engine.shared_prefix import SHARED_PATHS
from market.types import Float32Array


class Engine(Model):
    """A model that runs forecasts; one caller at a time."""

    @classmethod
    def load(cls, bundle: Path, *, cache_bytes: int | None = None, threads: int | None = None) -> Self:
        """Load a bundle on the CPU after checking its files.

        `inference_server.engine.devices` chooses between the CPU and a GPU.

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

    def warm_up(self) -> None:
        """Run a small forecast, also with events if the bundle has them: the first request then is no slower.

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
        """Return the sample paths of every job, in raw units.

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
        groups = [batching.add(job) for job in jobs]
        while not batching.idle:
            batching.step()
        return [group.paths for group in groups]
