"""The one owner of the engine: loads it in the background, runs it in one thread, one call at a time."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from inference_server.engine import Engine, EngineError
from inference_server.errors import ModelNotReady
from inference_server.jobs import ForecastJob


class Inference:
    """Queues calls to the engine, which takes one caller at a time.

    Parameters
    ----------
    load
        Returns the engine, loaded and warmed; runs in the engine's own thread.
    """

    def __init__(self, load: Callable[[], Engine]) -> None:
        self._load = load
        self._engine: Engine | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")

    @property
    def engine(self) -> Engine:
        """The engine.

        Raises
        ------
        ModelNotReady
            While it is being loaded.
        """
        if self._engine is None:
            raise ModelNotReady("the model is still being loaded and warmed; try again shortly")
        return self._engine

    async def start(self) -> Engine:
        """Load and warm the engine, and return it; whatever goes wrong is raised."""
        self._engine = await asyncio.get_running_loop().run_in_executor(self._thread, self._load)
        return self._engine

    async def forecast(self, jobs: Sequence[ForecastJob]) -> list[NDArray[np.float32] | EngineError]:
        """Return each job's paths (sample_count, pred_len, 6), or why the engine can't make them.

        All jobs go to the engine at once; only if it refuses the lot are they tried one by one.

        Raises
        ------
        ModelNotReady
            While the engine is being loaded.
        """
        engine = self.engine
        return await asyncio.get_running_loop().run_in_executor(self._thread, _forecast, engine, jobs)

    def close(self) -> None:
        """Let the thread end once it has finished what it is at."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _forecast(engine: Engine, jobs: Sequence[ForecastJob]) -> list[NDArray[np.float32] | EngineError]:
    try:
        return list(engine.forecast(jobs))
    except EngineError as error:
        if len(jobs) == 1:
            return [error]
    return [outcome for job in jobs for outcome in _forecast(engine, [job])]
