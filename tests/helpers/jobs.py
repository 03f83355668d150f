"""Jobs on generated candles."""

from dataclasses import replace
from typing import Any

import numpy as np

from inference_server.engine.jobs import ForecastJob


def hourly_job(length: int = 100, pred_len: int = 12, walk: int = 0, **settings: Any) -> ForecastJob:
    """A job on a random walk; ``events=True`` gives it events."""
    hours = np.arange(length + pred_len).astype("datetime64[h]").astype("datetime64[us]")
    steps = np.random.default_rng(walk).normal(size=(length, 6))
    job = ForecastJob(steps.cumsum(0) + 100, hours[:length], hours[length:], **settings)
    if settings.get("events") is True:
        events = np.random.default_rng(walk).normal(size=(length + pred_len, 20)).astype(np.float32)
        return replace(job, events=events)
    return job
