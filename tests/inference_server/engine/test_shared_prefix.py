"""Jobs of many paths: those of one shape step together, and no path sees its company."""

from pathlib import Path

import numpy as np
import pytest

from inference_server.engine.batching import Batching
from inference_server.engine.engine import Engine
from inference_server.engine.lanes import Observer
from tests.helpers.jobs import hourly_job


@pytest.fixture(scope="module", params=["fp32", "int8"])
def engine(request: pytest.FixtureRequest, tiny_bundle: Path, tiny_int8_bundle: Path) -> Engine:
    return Engine.load(tiny_bundle if request.param == "fp32" else tiny_int8_bundle, threads=2)


class Rows(Observer):
    def __init__(self) -> None:
        self.stepping: set[int] = set()

    def stepped(self, seconds: float, rows: int) -> None:
        self.stepping.add(rows)


@pytest.mark.parametrize(("few", "many"), [(1, (2, 3, 7)), (8, (9, 19, 20, 64, 100))])
def test_a_path_is_the_same_to_the_bit_among_any_number(
    few: int, many: tuple[int, ...], engine: Engine
) -> None:
    (expected,) = engine.forecast([hourly_job(200, 6, sample_count=few, seed=2)])
    for count in many:
        (paths,) = engine.forecast([hourly_job(200, 6, sample_count=count, seed=2)])
        np.testing.assert_array_equal(paths[:few], expected)


def test_few_paths_with_a_cache_each_draw_what_many_draw(engine: Engine) -> None:
    """The logits of the two graphs differ by rounding, in 8 bits by more of it: near ties may turn."""
    histories = 12
    jobs = [
        hourly_job(200, 2, walk=walk, top_k=1, sample_count=n) for walk in range(histories) for n in (1, 8)
    ]
    paths = engine.forecast(jobs)
    first = np.array(
        [(one[0, 0] == many[0, 0]).all() for one, many in zip(paths[::2], paths[1::2], strict=True)]
    )
    assert first.sum() >= (10 if engine.manifest.precision == "int8" else histories)


def test_jobs_of_one_shape_step_together_and_others_do_not(engine: Engine) -> None:
    seen = Rows()
    batching = Batching(engine, seen)
    jobs = [hourly_job(walk=w, sample_count=10, seed=w) for w in range(8)]
    jobs += [hourly_job(length, walk=3, sample_count=10) for length in (32, 512 - 11)]
    groups = [batching.add(job) for job in jobs]
    while not batching.idle:
        batching.step()
    assert seen.stepping == {60, 20, 10}  # six jobs, the two that are left, and two by themselves
    for job, group in zip(jobs, groups, strict=True):
        np.testing.assert_array_equal(engine.forecast([job])[0], group.paths)


@pytest.mark.parametrize("steps", [0, 2, 5, 9])
def test_a_job_that_is_cancelled_leaves_those_it_steps_with_alone(steps: int, engine: Engine) -> None:
    batching = Batching(engine)
    gone, kept = (batching.add(hourly_job(walk=w, sample_count=9)) for w in (0, 1))
    for _ in range(steps):
        batching.step()
    batching.cancel(gone)
    while not batching.idle:
        batching.step()
    assert gone.finished_at is None
    np.testing.assert_array_equal(kept.paths, engine.forecast([kept.job])[0])
    assert batching.cached_tokens == 0
