"""Caches the sample paths of recent jobs, so that a repeated request does not run the model."""

from collections import OrderedDict
from hashlib import blake2b

import numpy as np

from inference_server.engine.calls import GeneratedPaths
from inference_server.engine.jobs import ForecastJob


def job_key(bundle_version: str, job: ForecastJob) -> bytes:
    """Return a digest of everything that determines a job's sample paths."""
    settings = (
        bundle_version,
        job.sample_count,
        job.temperature,
        job.top_k,
        job.top_p,
        job.seed,
        job.context_stride,
        job.time_zone,
        job.upstream_scale,
    )
    digest = blake2b(repr(settings).encode(), digest_size=20)
    for array in (job.candles, job.timestamps, job.future_timestamps, job.events):
        if array is None:
            digest.update(b"none")
            continue
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()


class ResultCache:
    """An LRU cache of outcomes by job, for one event loop.

    Parameters
    ----------
    size
        Bytes of sample paths to store; 0 stores none.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._outcomes: OrderedDict[bytes, GeneratedPaths] = OrderedDict()
        self._bytes = 0

    def get(self, key: bytes) -> GeneratedPaths | None:
        """Return the outcome that is stored for a job, or None."""
        outcome = self._outcomes.get(key)
        if outcome is not None:
            self._outcomes.move_to_end(key)
        return outcome

    def put(self, key: bytes, outcome: GeneratedPaths) -> None:
        """Store an outcome, unless it alone is larger than the cache."""
        if outcome.paths.nbytes > self.size or key in self._outcomes:
            return
        self._outcomes[key] = outcome
        self._bytes += outcome.paths.nbytes
        while self._bytes > self.size:
            _, old = self._outcomes.popitem(last=False)
            self._bytes -= old.paths.nbytes
