"""Answers to keep: the sample paths of recent jobs, for callers that ask the same again."""

from collections import OrderedDict
from hashlib import blake2b

import numpy as np

from inference_server.engine.calls import Outcome
from inference_server.engine.jobs import ForecastJob


def job_key(bundle_version: str, job: ForecastJob) -> bytes:
    """Return a digest of everything that a job's sample paths follow from."""
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
    """Outcomes by job, the least recently used given up first; one event loop uses it.

    Parameters
    ----------
    size
        Bytes of sample paths to keep; 0 keeps nothing.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._kept: OrderedDict[bytes, Outcome] = OrderedDict()
        self._used = 0

    def get(self, key: bytes) -> Outcome | None:
        """Return what is kept for a job, if anything is."""
        outcome = self._kept.get(key)
        if outcome is not None:
            self._kept.move_to_end(key)
        return outcome

    def put(self, key: bytes, outcome: Outcome) -> None:
        """Keep an outcome, unless it alone is larger than the cache."""
        if outcome.paths.nbytes > self.size or key in self._kept:
            return
        self._kept[key] = outcome
        self._used += outcome.paths.nbytes
        while self._used > self.size:
            _, old = self._kept.popitem(last=False)
            self._used -= old.paths.nbytes
