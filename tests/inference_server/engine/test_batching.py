"""Continuous batching over a real engine: who waits for whom, and that nobody sees a neighbour."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference_server.engine.batching import Batching
from inference_server.engine.decoder import token_bytes
from inference_server.engine.engine import Engine
from inference_server.engine.lanes import Observer
from inference_server.engine.sequence import Caller, SequenceGroup, Status
from tests.helpers.jobs import hourly_job


@pytest.fixture(scope="module")
def engine(tiny_bundle: Path) -> Engine:
    return Engine.load(tiny_bundle, threads=1)


class Ticks:
    """A clock on which every unit of work takes a second: it is read before and after each."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


class Counting(Observer):
    def __init__(self) -> None:
        self.rows: list[int] = []
        self.prefills = 0

    def prefilled(self, seconds: float, tokens: int) -> None:
        self.prefills += 1

    def stepped(self, seconds: float, rows: int) -> None:
        self.rows.append(rows)


def finish(batching: Batching) -> list[SequenceGroup]:
    done: list[SequenceGroup] = []
    while not batching.idle:
        done += batching.step()
    return done


def units(batching: Batching, group: SequenceGroup) -> int:
    count = 0
    while group.finished_at is None:
        batching.step()
        count += 1
    return count


JOBS = st.builds(
    hourly_job,
    length=st.sampled_from([40, 90, 500, 520]),
    pred_len=st.integers(1, 25),
    walk=st.integers(0, 3),
    sample_count=st.sampled_from([1, 2, 9]),
    temperature=st.sampled_from([0.7, 1.0]),
    top_k=st.sampled_from([0, 5]),
    top_p=st.sampled_from([0.9, 1.0]),
    seed=st.integers(0, 2**63 - 1),
    context_stride=st.sampled_from([1, 7]),
    events=st.sampled_from([None, True]),
)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(JOBS, min_size=2, max_size=6), st.lists(st.integers(0, 20), min_size=6, max_size=6))
def test_jobs_that_join_at_any_time_get_what_they_get_alone(
    engine: Engine, jobs: list[Any], pauses: list[int]
) -> None:
    batching = Batching(engine)
    groups = []
    for job, pause in zip(jobs, pauses, strict=False):
        groups.append(batching.add(job))
        for _ in range(pause):
            batching.step()
    finish(batching)
    for job, group in zip(jobs, groups, strict=True):
        np.testing.assert_array_equal(engine.forecast([job])[0], group.paths)


@pytest.mark.parametrize("paths", [1, 9], ids=["slots", "shared prefix"])
def test_a_group_goes_through_every_status_in_order(engine: Engine, paths: int) -> None:
    batching = Batching(engine)
    group = batching.add(hourly_job(pred_len=3, sample_count=paths))
    seen = [group.status]
    while not batching.idle:
        batching.step()
        seen.append(group.status)
    assert list(dict.fromkeys(seen)) == list(Status)


def test_a_job_joins_at_the_next_step_and_leaves_at_its_last(engine: Engine) -> None:
    seen = Counting()
    batching = Batching(engine, seen)
    batching.add(hourly_job(pred_len=30))
    for _ in range(12):  # encoding, prefill, ten steps
        batching.step()
    late = batching.add(hourly_job(pred_len=5, walk=1))
    finish(batching)
    assert seen.rows == [1] * 10 + [2] * 5 + [1] * 15
    assert (late.largest_batch, seen.prefills) == (2, 2)


@pytest.mark.parametrize(
    "long", [{"sample_count": 40}, {"length": 512, "sample_count": 3}], ids=["many paths", "sliding"]
)
def test_a_long_batch_holds_a_single_request_up_by_its_own_time_at_most(
    engine: Engine, long: dict[str, Any]
) -> None:
    single = hourly_job(pred_len=12)
    alone = Batching(engine, clock=Ticks())
    idle = units(alone, alone.add(single))
    busy = Batching(engine, clock=Ticks())
    for walk in range(10):
        busy.add(hourly_job(**{"length": 100, "pred_len": 60, "walk": walk, **long}))
    for _ in range(100):
        busy.step()
    assert units(busy, busy.add(single)) <= 2 * idle + 4


def test_a_batch_of_many_symbols_takes_turns_with_single_requests(engine: Engine) -> None:
    batching, batch = Batching(engine), Caller()
    symbols = [batching.add(hourly_job(walk=i, sample_count=9), batch) for i in range(12)]
    batching.step()
    single = batching.add(hourly_job(sample_count=9))
    order = finish(batching)
    assert order.index(single) == 64 // 9  # it is the first of those that step after the present ones
    assert {*order} == {*symbols, single}


def test_a_job_may_not_take_all_slots(tiny_bundle: Path, engine: Engine) -> None:
    small = Engine.load(tiny_bundle, cache_bytes=13 * 512 * token_bytes(engine.manifest), threads=1)
    assert small.slot_count == 4
    seen = Counting()
    batching = Batching(small, seen)
    large = batching.add(hourly_job(pred_len=10, sample_count=6))
    for _ in range(5):
        batching.step()
    assert batching.rows == 2
    batching.add(hourly_job())
    finish(batching)
    np.testing.assert_array_equal(engine.forecast([large.job])[0], large.paths)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 9, 20])
def test_a_cancelled_job_frees_what_it_held_and_disturbs_nobody(engine: Engine, steps: int) -> None:
    batching = Batching(engine)
    kept = batching.add(hourly_job(pred_len=30, sample_count=2))
    gone = [
        batching.add(hourly_job(walk=1, pred_len=40, sample_count=3)),
        batching.add(hourly_job(walk=2, pred_len=40, sample_count=12)),
        batching.add(hourly_job(510, 40, walk=2, context_stride=1)),
    ]
    for _ in range(steps):
        batching.step()
    for group in gone:
        batching.cancel(group)
    assert finish(batching) == [kept]
    assert (batching.rows, batching.cached_tokens) == (0, 0)
    np.testing.assert_array_equal(engine.forecast([kept.job])[0], kept.paths)
