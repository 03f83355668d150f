from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from inference_server.engine.bundle import Manifest
from inference_server.engine.calls import GeneratedPaths
from inference_server.forecast.result_cache import ResultCache, job_key
from tests.helpers.jobs import hourly_job

JOB = hourly_job(events=True)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"sample_count": 2},
        {"temperature": 0.9},
        {"top_k": 1},
        {"top_p": 0.8},
        {"context_stride": 2},
        {"time_zone": "Asia/Shanghai"},
        {"upstream_scale": True},
        {"events": None},
        {"events": np.zeros((112, 20), np.float32)},
        {"candles": JOB.candles + 1e-9},
        {"timestamps": JOB.timestamps + np.timedelta64(1, "h")},
        {"future_timestamps": JOB.future_timestamps[:-1]},
    ],
)
def test_whatever_changes_a_result_changes_the_key(change: dict[str, Any]) -> None:
    assert job_key("v", replace(JOB, **change)) != job_key("v", JOB)
    assert job_key("w", JOB) != job_key("v", JOB)


def test_equal_jobs_share_a_key() -> None:
    assert job_key("v", replace(JOB, candles=JOB.candles.copy())) == job_key("v", JOB)


def outcome(paths: int) -> GeneratedPaths:
    return GeneratedPaths(np.zeros((paths, 10, 6), np.float32), cast("Manifest", None), 1.0, 1.0, 1)


def test_the_least_recently_used_goes_first() -> None:
    cache = ResultCache(3 * 240)
    for name in (b"a", b"b", b"c"):
        cache.put(name, outcome(1))
    assert cache.get(b"a") is not None
    cache.put(b"d", outcome(1))
    assert [cache.get(name) is not None for name in (b"a", b"b", b"c", b"d")] == [True, False, True, True]
    cache.put(b"huge", outcome(4))
    assert cache.get(b"huge") is None
    assert cache.get(b"a") is not None
