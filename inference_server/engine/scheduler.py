"""Runs the model in one thread with continuous batching, behind a bounded queue."""

import asyncio
import gc
import itertools
import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from inference_server.engine.batching import Batching, Observer
from inference_server.engine.calls import Call, Outcome, Result
from inference_server.engine.device import DeviceMemoryError
from inference_server.engine.engine import Engine, EngineError
from inference_server.engine.jobs import ForecastJob, Request, Ticket
from inference_server.errors import DeadlineExceeded, Draining, EngineFailed, ModelNotReady, QueueFull
from inference_server.metrics import Metrics

log = logging.getLogger(__name__)

# How often the gauges are set while the model runs.
GAUGES_S = 0.25
LONGEST_RETRY_S = 60
# Failures in a row, without a forecast in between, after which the engine is given up.
MOST_FAILURES = 3


class _Serving:
    """An engine and what runs on it."""

    def __init__(self, engine: Engine, observer: Observer) -> None:
        self.engine, self.observer = engine, observer
        self.batching = Batching(engine, observer)
        self.calls: dict[Ticket, Call] = {}


class _Watch(Observer):
    """Tells the metrics what the batch does, and the scheduler that a job has left the queue."""

    def __init__(self, metrics: Metrics, left: Callable[[int], None]) -> None:
        self._metrics, self._left = metrics, left

    def begun(self, waited: float) -> None:
        self._metrics.queued(waited)
        self._left(1)

    def prefilled(self, seconds: float, tokens: int) -> None:
        self._metrics.prefilled(seconds, tokens)

    def stepped(self, seconds: float, rows: int) -> None:
        self._metrics.stepped(seconds, rows)


class Scheduler:
    """Takes jobs from any number of callers in one event loop, and runs them in one thread.

    Parameters
    ----------
    load
        Returns the engine, loaded and warmed, with caches of so many bytes or, given None, of the usual size;
        also what a reload calls.
    queue_limit
        Jobs that may wait; more are refused at once.
    metrics
        Told what the model does.
    on_failure
        Called once the engine can't be used any more, from any thread: the process should end.
    """

    def __init__(
        self,
        load: Callable[[int | None], Engine],
        queue_limit: int,
        metrics: Metrics,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self._load, self._limit, self._metrics, self._on_failure = load, queue_limit, metrics, on_failure
        self._engine: Engine | None = None
        self._failed = False
        self._failures = 0
        self._out_of_memory = False
        self._cache_bytes: int | None = None  # of the engines to come, once memory has run out
        self._draining = False
        self._reloading = asyncio.Lock()
        self._calls: set[Call] = set()
        self._commands: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self._seconds_per_job = 0.0
        self._serving: list[_Serving] = []
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    # --- in the event loop -----------------------------------------------------------------------

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
        if self._failed:
            raise EngineFailed
        if self._draining:
            raise Draining
        if self._engine is None:
            raise ModelNotReady("the model is still being loaded and warmed; try again shortly")
        return self._engine

    async def start(self) -> Engine:
        """Load and warm the engine, and return it; whatever goes wrong is raised."""
        self._thread.start()
        engine = await self._in_thread(partial(self._load, None))
        self._commands.put(partial(self._serve, engine))
        self._engine = engine
        return engine

    async def reload(self) -> Engine:
        """Load the bundle anew beside the one being served, and let new jobs go to it.

        What runs is finished by the old engine, which then goes; on a GPU it pauses while the new one is
        loaded. Whatever goes wrong is raised, and the old engine serves on.
        """
        async with self._reloading:
            load = partial(self._load, self._cache_bytes)
            # ONNX Runtime keeps CUDA graphs by thread: what another one captured would be captured again.
            if self.engine.device.kind == "cuda":
                engine = await self._in_thread(load)
            else:
                engine = await asyncio.to_thread(load)
            self._commands.put(partial(self._serve, engine))
            self._engine = engine
            return engine

    async def _in_thread(self, work: Callable[[], Engine]) -> Engine:
        """Return what something returns in the engine's thread, or raise what it raises there."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Engine] = loop.create_future()

        def run() -> None:
            try:
                deliver = partial(done.set_result, work())
            except Exception as error:
                deliver = partial(done.set_exception, error)
            loop.call_soon_threadsafe(lambda: None if done.done() else deliver())

        self._commands.put(run)
        return await done

    async def forecast(self, jobs: Sequence[ForecastJob], timeout_s: float) -> list[Result]:
        """Return what became of each job, in order; a job that the engine refuses leaves the others alone.

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
        self._admit(len(jobs))
        loop = asyncio.get_running_loop()
        call = Call(jobs, loop, loop.create_future())
        self._calls.add(call)
        self._commands.put(partial(self._submit, call))
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
                self._commands.put(partial(self._cancel, call))

    async def drain(self, grace_s: float) -> None:
        """Take nothing new, wait for what runs, and after `grace_s` seconds end it with `Draining`."""
        self._draining = True
        waiting = [call.done for call in self._calls]
        if waiting:
            await asyncio.wait(waiting, timeout=grace_s)
        for call in self._calls:
            if not call.done.done():
                call.done.set_exception(Draining())
                self._commands.put(partial(self._cancel, call))

    def close(self) -> None:
        """Let the thread end after the quantum it is at."""
        self._commands.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def _admit(self, count: int) -> None:
        with self._lock:
            # An empty queue takes any request that the limits let through: it would never fit otherwise.
            if self._waiting and self._waiting + count > self._limit:
                # By then half of the queue has gone.
                seconds = math.ceil(self._waiting * self._seconds_per_job / 2)
                raise QueueFull(max(1, min(LONGEST_RETRY_S, seconds)))
            self._waiting += count
        self._metrics.queue_depth(self._waiting)

    # --- in the engine's thread ------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._work()
        except Exception:
            log.exception("the engine's thread ended; this process serves no more forecasts")
            self._give_up()

    def _work(self) -> None:
        gauges_due = 0.0
        for turn in itertools.count():
            if not self._obey():
                return
            # Beside an engine that was replaced, the new one gets every other quantum.
            serving = self._serving[turn % len(self._serving)]
            self._advance(serving)
            if serving in self._serving[:-1] and serving.batching.idle:
                self._serving.remove(serving)
            del serving  # its memory may be needed
            if self._out_of_memory:
                self._load_smaller()
            if time.monotonic() >= gauges_due:
                self._set_gauges()
                gauges_due = time.monotonic() + GAUGES_S

    def _obey(self) -> bool:
        """Do what was asked meanwhile, waiting for something to do; False at the end."""
        while True:
            try:
                command = self._commands.get(block=False)
            except queue.Empty:
                if not all(one.batching.idle for one in self._serving):
                    return True
                self._set_gauges()
                command = self._commands.get()
            if command is None or self._failed:
                return False
            command()

    def _serve(self, engine: Engine) -> None:
        self._serving = [one for one in self._serving if not one.batching.idle]
        self._serving.append(_Serving(engine, _Watch(self._metrics, self._left)))
        manifest, device = engine.manifest, engine.device
        self._metrics.bundle(manifest.name, manifest.version, manifest.precision, device.kind, device.name)
        self._metrics.device(engine.fallback is not None, engine.graph_count, engine.graph_bytes)

    def _submit(self, call: Call) -> None:
        try:
            self._queue(call)
        except Exception as error:  # the caller's own failure, whatever it is
            log.exception("a forecast cannot be queued")
            self._left(len(call.jobs) - len(call.results) - len(call.tickets))
            self._cancel(call)
            call.finish(partial(call.done.set_exception, error))

    def _queue(self, call: Call) -> None:
        serving, request = self._serving[-1], Request()
        for index, job in enumerate(call.jobs):
            try:
                serving.engine.check(job)
            except EngineError as error:
                self._left(1)
                self._settle(call, index, error)
                continue
            ticket = serving.batching.submit(job, request)
            serving.calls[ticket] = call
            call.tickets[ticket] = index

    def _cancel(self, call: Call) -> None:
        for serving in self._serving:
            for ticket in [ticket for ticket, owner in serving.calls.items() if owner is call]:
                serving.batching.cancel(ticket)
                del serving.calls[ticket]
                if ticket.started is None:
                    self._left(1)

    def _advance(self, serving: _Serving) -> None:
        try:
            finished = serving.batching.advance()
        except Exception as error:
            self._recover(serving, error)
            return
        if finished:
            self._failures = 0
        for ticket in finished:
            call = serving.calls.pop(ticket)
            assert ticket.started is not None
            assert ticket.finished is not None
            inference_s = ticket.finished - ticket.started
            self._note_pace(inference_s / max(1, len(serving.calls) + 1))
            outcome = Outcome(
                ticket.paths,
                serving.engine.manifest,
                ticket.started - ticket.submitted,
                inference_s,
                ticket.most_rows,
            )
            self._settle(call, call.tickets[ticket], outcome)

    def _settle(self, call: Call, index: int, result: Result) -> None:
        call.results[index] = result
        if len(call.results) == len(call.jobs):
            results = [call.results[i] for i in range(len(call.jobs))]
            call.finish(lambda: call.done.set_result(results))

    def _recover(self, serving: _Serving, error: Exception) -> None:
        """Fail what ran, and go on with the same engine, with a smaller one, or not at all."""
        log.exception("the engine failed; every forecast that was running fails with it")
        fault = serving.engine.device.fault(error)
        self._failures += 1
        self._fail(serving, error if fault is None else EngineFailed())
        if isinstance(fault, DeviceMemoryError) and self._cache_bytes is None:
            # The device was full. Once in a process's life the bundle is loaded again, with a smaller cache,
            # but only after the exception is gone, whose traceback holds on to the engine's memory.
            self._cache_bytes = serving.engine.cache_bytes // 2
            self._out_of_memory = True
            self._engine = None
            self._serving = []
        elif fault is not None or self._failures >= MOST_FAILURES:
            log.error("the engine is given up: %s", fault or f"it failed {self._failures} times in a row")
            self._give_up()

    def _load_smaller(self) -> None:
        self._out_of_memory = False
        assert self._cache_bytes is not None
        log.warning(
            "the device ran out of memory: the bundle is loaded again with a cache of %d MiB, half of what "
            "it had; KRONOS_CACHE_BYTES sets it",
            self._cache_bytes >> 20,
        )
        gc.collect()
        engine = self._load(self._cache_bytes)
        self._serve(engine)
        self._engine = engine

    def _give_up(self) -> None:
        """Answer everything that runs or waits, take nothing more, and let the process end."""
        self._failed = True
        for serving in self._serving:
            self._fail(serving, EngineFailed())
        for call in list(self._calls):
            call.finish(partial(call.done.set_exception, EngineFailed()))
        self._on_failure()

    def _fail(self, serving: _Serving, error: Exception) -> None:
        for ticket in serving.calls:
            if ticket.started is None:
                self._left(1)
        for call in set(serving.calls.values()):
            call.finish(partial(call.done.set_exception, error))
        serving.calls.clear()
        serving.batching = Batching(serving.engine, serving.observer)

    def _left(self, count: int) -> None:
        """Note that jobs wait no more."""
        with self._lock:
            self._waiting -= count
        self._metrics.queue_depth(self._waiting)

    def _note_pace(self, seconds: float) -> None:
        """Keep a moving average of the seconds in which the server gets one job done."""
        self._seconds_per_job += 0.2 * (seconds - self._seconds_per_job)

    def _set_gauges(self) -> None:
        if not self._serving:
            return
        current = self._serving[-1]
        running = [one.batching for one in self._serving]
        self._metrics.slots(sum(one.rows for one in running), current.batching.most_rows)
        per_token = current.engine.token_bytes
        self._metrics.cache_bytes(
            sum(one.cached_tokens for one in running) * per_token, current.engine.cache_tokens * per_token
        )
