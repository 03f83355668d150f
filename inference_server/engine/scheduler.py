"""Takes jobs from the event loop, and returns their results there: deadlines, draining, reloading."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from inference_server.engine.admission import Admission
from inference_server.engine.calls import Call, Result
from inference_server.engine.engine import Engine
from inference_server.engine.engine_thread import EngineThread, Load
from inference_server.engine.jobs import ForecastJob
from inference_server.errors import DeadlineExceeded, Draining, EngineFailed, ModelNotReady
from inference_server.metrics import Metrics


class Scheduler:
    """Takes jobs from any number of callers in one event loop, and has one thread run them.

    Parameters
    ----------
    load
        Returns the engine, loaded and warmed, with caches of so many bytes or, given None, of the configured
        size; also what a reload calls.
    queue_limit
        Jobs that may wait; more are refused at once.
    metrics
        Counts and times what the engine does.
    on_failure
        Called from any thread once the engine can't be used any more: the process should end.
    """

    def __init__(
        self,
        load: Load,
        queue_limit: int,
        metrics: Metrics,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self._load, self._on_failure = load, on_failure
        self._draining = False
        self._reloading = asyncio.Lock()
        self._calls: set[Call] = set()
        self._admission = Admission(queue_limit, metrics)
        self._thread = EngineThread(load, self._admission, metrics, self._engine_failed)

    @property
    def engine(self) -> Engine:
        """The engine that new jobs go to.

        Raises
        ------
        ModelNotReady
            While it is being loaded.
        Draining
            Once the server is about to end.
        EngineFailed
            Once the engine cannot be used any more.
        """
        if self._thread.failed:
            raise EngineFailed
        if self._draining:
            raise Draining
        if self._thread.engine is None:
            raise ModelNotReady("the model is still being loaded and warmed; try again shortly")
        return self._thread.engine

    async def start(self) -> Engine:
        """Load and warm the engine, and return it; whatever goes wrong is raised."""
        self._thread.start()
        engine = await self._in_thread(partial(self._load, None))
        self._thread.serve(engine)
        return engine

    async def reload(self) -> Engine:
        """Load the bundle anew beside the one being served, and let new jobs go to it.

        What runs is finished by the old engine, which then goes; on a GPU it pauses while the new one is
        loaded. Whatever goes wrong is raised, and the old engine stays in service.
        """
        async with self._reloading:
            load = partial(self._load, self._thread.cache_bytes)
            # ONNX Runtime keeps CUDA graphs by thread: another thread's would be captured again.
            if self.engine.device.kind == "cuda":
                engine = await self._in_thread(load)
            else:
                engine = await asyncio.to_thread(load)
            self._thread.serve(engine)
            return engine

    async def forecast(self, jobs: Sequence[ForecastJob], timeout_s: float) -> list[Result]:
        """Return each job's result, in order; a job that the engine refuses leaves the others alone.

        A caller that is cancelled, or out of time, frees what its jobs hold.

        Raises
        ------
        ModelNotReady, Draining, EngineFailed
            See `engine`; Draining also where the server ends, and EngineFailed where the device fails, before
            the jobs are done.
        QueueFull
            If there is no room for these jobs; nothing of them was queued.
        DeadlineExceeded
            If they are not done in `timeout_s` seconds.
        """
        _ = self.engine
        self._admission.admit(len(jobs))
        loop = asyncio.get_running_loop()
        call = Call(jobs, loop, loop.create_future())
        self._calls.add(call)
        self._thread.submit(call)
        try:
            async with asyncio.timeout(timeout_s):
                return await call.done
        except TimeoutError:
            raise DeadlineExceeded(
                f"the forecast was not done within {timeout_s:g} s, the time that the request "
                "(X-Request-Timeout) or the server (KRONOS_REQUEST_TIMEOUT_S) gives it"
            ) from None
        finally:
            self._calls.discard(call)
            if call.done.cancelled():
                self._thread.cancel(call)

    async def drain(self, grace_s: float) -> None:
        """Take nothing new, wait for what runs, and after `grace_s` seconds end it with `Draining`."""
        self._draining = True
        waiting = [call.done for call in self._calls]
        if waiting:
            await asyncio.wait(waiting, timeout=grace_s)
        for call in self._calls:
            if not call.done.done():
                call.done.set_exception(Draining())
                self._thread.cancel(call)

    def close(self) -> None:
        """End the engine's thread after the unit of work that is running."""
        self._thread.close()

    def _engine_failed(self) -> None:
        for call in list(self._calls):
            call.finish(partial(call.done.set_exception, EngineFailed()))
        self._on_failure()

    async def _in_thread(self, work: Callable[[], Engine]) -> Engine:
        """Return what a function returns in the engine's thread, or raise what it raises there."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Engine] = loop.create_future()

        def run() -> None:
            try:
                deliver = partial(done.set_result, work())
            except Exception as error:
                deliver = partial(done.set_exception, error)
            loop.call_soon_threadsafe(lambda: None if done.done() else deliver())

        self._thread.put(run)
        return await done
