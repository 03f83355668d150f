"""The engine's one owner, with a stand-in engine: readiness, one call at a time, a bad job kept to itself."""

import asyncio
import threading
from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest

from inference_server.engine import Engine, EngineError
from inference_server.errors import ModelNotReady
from inference_server.inference import Inference
from inference_server.jobs import ForecastJob

HOURS = np.datetime64("2024-06-28T00:00", "us") + np.arange(40) * np.timedelta64(1, "h")


def job(seed: int) -> ForecastJob:
    return ForecastJob(np.ones((32, 6)), HOURS[:32], HOURS[32:], seed=seed)


class StandIn:
    """Answers each job with its seed, refuses seed 13, and counts how many callers are inside."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.threads: set[int] = set()
        self.inside = 0

    def forecast(self, jobs: Sequence[ForecastJob]) -> list[np.ndarray]:
        self.inside += 1
        assert self.inside == 1
        self.threads.add(threading.get_ident())
        self.calls.append([one.seed for one in jobs])
        try:
            if any(one.seed == 13 for one in jobs):
                raise EngineError("no 13")
            return [np.full((1, 8, 6), one.seed, dtype=np.float32) for one in jobs]
        finally:
            self.inside -= 1


async def started(engine: StandIn) -> Inference:
    inference = Inference(lambda: cast("Engine", engine))
    await inference.start()
    return inference


def test_until_it_is_loaded_there_is_no_forecast() -> None:
    async def scene() -> None:
        inference = Inference(lambda: cast("Engine", StandIn()))
        with pytest.raises(ModelNotReady):
            await inference.forecast([job(1)])
        await inference.start()
        assert len(await inference.forecast([job(1)])) == 1
        inference.close()

    asyncio.run(scene())


def test_a_failed_start_is_raised() -> None:
    def fail() -> Engine:
        raise RuntimeError("no model")

    async def scene() -> None:
        inference = Inference(fail)
        with pytest.raises(RuntimeError, match="no model"):
            await inference.start()
        with pytest.raises(ModelNotReady):
            _ = inference.engine

    asyncio.run(scene())


def test_callers_take_turns_in_one_thread() -> None:
    async def scene() -> StandIn:
        engine = StandIn()
        inference = await started(engine)
        answers = await asyncio.gather(*(inference.forecast([job(seed)]) for seed in range(10)))
        assert [float(paths[0, 0, 0]) for (paths,) in answers] == list(range(10))
        inference.close()
        return engine

    engine = asyncio.run(scene())
    assert len(engine.threads) == 1
    assert threading.get_ident() not in engine.threads


def test_good_jobs_run_together_and_a_bad_one_fails_alone() -> None:
    async def scene() -> None:
        engine = StandIn()
        inference = await started(engine)
        await inference.forecast([job(1), job(2)])
        assert engine.calls == [[1, 2]]
        outcomes = await inference.forecast([job(1), job(13), job(2)])
        assert [isinstance(one, EngineError) for one in outcomes] == [False, True, False]
        inference.close()

    asyncio.run(scene())
