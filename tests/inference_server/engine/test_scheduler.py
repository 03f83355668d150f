"""The model's one owner over a real engine: readiness, admission, deadlines, drain, reload."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference_server.engine.calls import GeneratedPaths
from inference_server.engine.engine import Engine
from inference_server.engine.engine_thread import MOST_FAILURES
from inference_server.engine.model import EngineError
from inference_server.engine.scheduler import Scheduler
from inference_server.errors import DeadlineExceeded, Draining, EngineFailed, ModelNotReady, QueueFull
from inference_server.metrics import Metrics
from tests.helpers.jobs import hourly_job

PATIENCE_S = 60.0
LONG = {"length": 512, "pred_len": 400, "sample_count": 7, "context_stride": 1}


@pytest.fixture(scope="module")
def engine(tiny_bundle: Path) -> Engine:
    return Engine.load(tiny_bundle, threads=1)


@contextmanager
def scheduler(
    load: Callable[[int | None], Engine], queue_limit: int = 100, ended: Callable[[], None] = lambda: None
) -> Iterator[Scheduler]:
    made = Scheduler(load, queue_limit, Metrics(), ended)
    try:
        yield made
    finally:
        made.close()


def play(scene: Callable[[Scheduler], Awaitable[None]], engine: Engine, queue_limit: int = 100) -> None:
    async def run() -> None:
        with scheduler(lambda _: engine, queue_limit) as made:
            await made.start()
            async with asyncio.timeout(PATIENCE_S):
                await scene(made)
                await until_idle(made)

    asyncio.run(run())


async def until_idle(made: Scheduler) -> None:
    """Nothing of a cancelled or finished call is left behind."""
    while any(one.calls or not one.batching.idle for one in made._thread.served):
        await asyncio.sleep(0.01)
    assert made._admission.waiting == 0
    assert all(one.batching.rows == 0 for one in made._thread.served)


async def until_running(made: Scheduler) -> None:
    while not any(one.batching.cached_tokens for one in made._thread.served):
        await asyncio.sleep(0.005)


def test_until_it_is_loaded_there_is_no_forecast(engine: Engine) -> None:
    async def run() -> None:
        with scheduler(lambda _: engine) as made, pytest.raises(ModelNotReady):
            await made.forecast([hourly_job()], 10)

    asyncio.run(run())


def test_a_failed_start_is_raised() -> None:
    def fail(cache_bytes: int | None) -> Engine:
        raise RuntimeError("no model")

    async def run() -> None:
        with scheduler(fail) as made:
            with pytest.raises(RuntimeError, match="no model"):
                await made.start()
            with pytest.raises(ModelNotReady):
                _ = made.engine

    asyncio.run(run())


def test_many_callers_get_what_they_get_alone(engine: Engine) -> None:
    jobs = [hourly_job(walk=i, seed=i, sample_count=1 + 8 * (i % 2)) for i in range(12)]
    alone = [engine.forecast([job])[0] for job in jobs]

    async def scene(made: Scheduler) -> None:
        answers = await asyncio.gather(*(made.forecast([job], PATIENCE_S) for job in jobs))
        for (outcome,), expected in zip(answers, alone, strict=True):
            assert isinstance(outcome, GeneratedPaths)
            np.testing.assert_array_equal(outcome.paths, expected)
            assert outcome.queue_s >= 0
            assert outcome.inference_s > 0
        assert max(outcome.batch_size for (outcome,) in answers) > 1  # type: ignore[union-attr]

    play(scene, engine)


def test_a_bad_job_fails_alone(engine: Engine) -> None:
    async def scene(made: Scheduler) -> None:
        good, bad, other = await made.forecast(
            [hourly_job(), hourly_job(sample_count=0), hourly_job(walk=1)], PATIENCE_S
        )
        assert [type(one) for one in (good, bad, other)] == [GeneratedPaths, EngineError, GeneratedPaths]

    play(scene, engine)


def test_beyond_the_queue_s_limit_callers_are_sent_away(engine: Engine) -> None:
    async def scene(made: Scheduler) -> None:
        many = [hourly_job(**LONG)] * 12
        long: asyncio.Future[Any] = asyncio.ensure_future(made.forecast(many, PATIENCE_S))
        await until_running(made)
        assert made._admission.waiting > 3
        with pytest.raises(QueueFull) as refused:
            await made.forecast([hourly_job()], PATIENCE_S)
        assert refused.value.retry_after_s is not None
        assert 1 <= refused.value.retry_after_s <= 60
        long.cancel()

    play(scene, engine, queue_limit=4)


def test_an_empty_queue_takes_more_than_its_limit_at_once(engine: Engine) -> None:
    async def scene(made: Scheduler) -> None:
        assert len(await made.forecast([hourly_job(walk=i) for i in range(5)], PATIENCE_S)) == 5

    play(scene, engine, queue_limit=2)


@pytest.mark.parametrize("job", [LONG, {"pred_len": 400, "sample_count": 200}], ids=["slots", "many paths"])
def test_a_deadline_frees_what_its_job_held(engine: Engine, job: dict[str, Any]) -> None:
    async def scene(made: Scheduler) -> None:
        with pytest.raises(DeadlineExceeded, match=r"0\.2 s"):
            await made.forecast([hourly_job(**job)] * 3, 0.2)

    play(scene, engine)


def test_a_caller_that_goes_away_frees_what_its_job_held(engine: Engine) -> None:
    async def scene(made: Scheduler) -> None:
        calls = [asyncio.ensure_future(made.forecast([hourly_job(**LONG)], PATIENCE_S)) for _ in range(3)]
        await until_running(made)
        for call in calls:
            call.cancel()

    play(scene, engine)


def test_draining_finishes_what_runs_and_takes_nothing_new(engine: Engine) -> None:
    async def scene(made: Scheduler) -> None:
        running = asyncio.ensure_future(made.forecast([hourly_job(pred_len=100)], PATIENCE_S))
        await asyncio.sleep(0)
        draining = asyncio.ensure_future(made.drain(PATIENCE_S))
        await asyncio.sleep(0)
        with pytest.raises(Draining):
            _ = made.engine
        with pytest.raises(Draining):
            await made.forecast([hourly_job()], PATIENCE_S)
        await draining
        assert isinstance((await running)[0], GeneratedPaths)

    play(scene, engine)


def test_after_the_grace_what_still_runs_is_told_so(engine: Engine) -> None:
    async def scene(made: Scheduler) -> None:
        running = asyncio.ensure_future(made.forecast([hourly_job(**LONG)], PATIENCE_S))
        await until_running(made)
        await made.drain(0.05)
        with pytest.raises(Draining):
            await running

    play(scene, engine)


def test_a_fault_of_the_engine_fails_what_ran_and_nothing_after(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(made: Scheduler) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Engine, "detokenise", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                await made.forecast([hourly_job(), hourly_job(walk=1)], PATIENCE_S)
        assert isinstance((await made.forecast([hourly_job()], PATIENCE_S))[0], GeneratedPaths)

    play(scene, engine)


def test_an_engine_that_fails_again_and_again_is_given_up(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[bool] = []
    monkeypatch.setattr(Engine, "detokenise", lambda *_: 1 / 0)

    async def run() -> None:
        with scheduler(lambda _: engine, ended=lambda: ended.append(True)) as made:
            await made.start()
            for _ in range(MOST_FAILURES):
                assert made.engine is engine
                with pytest.raises(ZeroDivisionError):
                    await made.forecast([hourly_job()], PATIENCE_S)
            with pytest.raises(EngineFailed):
                await made.forecast([hourly_job()], PATIENCE_S)

    asyncio.run(run())
    assert ended == [True]


def test_a_fault_before_a_job_is_queued_fails_its_caller_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(made: Scheduler) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Engine, "check", lambda *_: [][0])
            with pytest.raises(IndexError):
                await made.forecast([hourly_job(), hourly_job()], PATIENCE_S)
        assert isinstance((await made.forecast([hourly_job()], PATIENCE_S))[0], GeneratedPaths)

    play(scene, engine)


def test_an_engine_s_thread_that_ends_takes_the_server_with_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[bool] = []

    async def run() -> None:
        with scheduler(lambda _: engine, ended=lambda: ended.append(True)) as made:
            await made.start()
            monkeypatch.setattr(made._thread, "_set_gauges", lambda: 1 / 0)
            with pytest.raises(EngineFailed):
                await made.forecast([hourly_job(pred_len=200)], PATIENCE_S)
            with pytest.raises(EngineFailed):
                _ = made.engine

    asyncio.run(run())
    assert ended == [True]


def test_a_reload_lets_what_runs_finish_on_the_old_bundle(engine: Engine, tiny_base_bundle: Path) -> None:
    engines = [engine, Engine.load(tiny_base_bundle, threads=1)]

    async def run() -> None:
        with scheduler(lambda _: engines.pop(0)) as made:
            old = await made.start()
            running = asyncio.ensure_future(made.forecast([hourly_job(pred_len=200)], PATIENCE_S))
            await until_running(made)
            new = await made.reload()
            assert new is made.engine is not old
            (after,) = await made.forecast([hourly_job()], PATIENCE_S)
            (before,) = await running
            assert isinstance(before, GeneratedPaths)
            assert isinstance(after, GeneratedPaths)
            assert (before.manifest, after.manifest) == (old.manifest, new.manifest)
            await made.forecast([hourly_job()], PATIENCE_S)
            assert [one.engine for one in made._thread.served] == [new]
            with pytest.raises(IndexError):
                await made.reload()
            assert made.engine is new

    asyncio.run(run())
