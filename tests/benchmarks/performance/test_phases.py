"""Prefills and steps of real requests are counted."""

from pathlib import Path

import pytest

from benchmarks.performance import phases
from inference_server.engine.engine import Engine
from tests.helpers.jobs import hourly_job


@pytest.mark.parametrize("paths", [1, 20])
def test_every_step_is_counted(tiny_bundle: Path, paths: int) -> None:
    engine = Engine.load(tiny_bundle, threads=1)
    found = phases.run(engine, [hourly_job(100, 12, sample_count=paths)])
    assert len(found.prefills) == 1
    assert [rows for _, rows in found.steps] == [paths] * 12
    inside = sum(seconds for seconds, _ in found.prefills + found.steps)
    assert 0 < inside < found.seconds
    assert 0 < found.step_s < found.seconds
    assert 0 < found.prefill_s < found.seconds
