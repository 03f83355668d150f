"""The thread that runs the engine: commands between units of work, recovery from failures."""

import gc
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable
from functools import partial

from inference_server.engine.admission import Admission
from inference_server.engine.batching import Batching
from inference_server.engine.calls import Call, GeneratedPaths, Result
from inference_server.engine.device import DeviceMemoryError
from inference_server.engine.engine import Engine
from inference_server.engine.lanes import Observer
from inference_server.engine.model import EngineError
from inference_server.engine.sequence import Caller, SequenceGroup
from inference_server.errors import EngineFailed
from inference_server.metrics import Metrics

log = logging.getLogger(__name__)

# How often the gauges are set while the model runs.
GAUGES_S = 0.25
# Failures in a row, without a forecast in between, after which the engine is given up.
MOST_FAILURES = 3

Load = Callable[[int | None], Engine]


class _Metered(Observer):
    """Passes what the engine did on to the metrics, and jobs that begin to the admission."""

    def __init__(self, metrics: Metrics, admission: Admission) -> None:
        self._metrics, self._admission = metrics, admission

    def begun(self, waited_s: float) -> None:
        self._metrics.queued(waited_s)
        self._admission.release(1)

    def prefilled(self, seconds: float, tokens: int) -> None:
        self._metrics.prefilled(seconds, tokens)

    def stepped(self, seconds: float, rows: int) -> None:
        self._metrics.stepped(seconds, rows)


class Served:
    """An engine, its running batch, and the calls whose jobs are in it."""

    def __init__(self, engine: Engine, observer: Observer) -> None:
        self.engine, self._observer = engine, observer
        self.calls: dict[SequenceGroup, Call] = {}
        self.batching = Batching(engine, observer)

    def restart(self) -> None:
        """Drop all that runs."""
        self.calls.clear()
        self.batching = Batching(self.engine, self._observer)


class EngineThread:
    """Runs engines: the one that new jobs go to, and those that finish what they began before a reload.

    Attributes
    ----------
    engine
        The engine that new jobs go to; None while there is none.
    failed
        Whether the engine was given up; the thread has ended or is about to.
    cache_bytes
        The size of caches of engines to be loaded; None for the configured one, until memory ran out.

    Parameters
    ----------
    load
        Returns an engine, loaded and warmed, with caches of so many bytes.
    on_failure
        Called in this thread once the engine is given up.
    """

    def __init__(
        self, load: Load, admission: Admission, metrics: Metrics, on_failure: Callable[[], None]
    ) -> None:
        self._load, self._admission, self._metrics, self._on_failure = load, admission, metrics, on_failure
        self.engine: Engine | None = None
        self.failed = False
        self.cache_bytes: int | None = None
        self.served: list[Served] = []
        self._failures = 0
        self._out_of_memory = False
        self._commands: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    # --- from any thread -------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, command: Callable[[], None]) -> None:
        """Have a command run between two units of work."""
        self._commands.put(command)

    def serve(self, engine: Engine) -> None:
        """Let new jobs go to an engine; what runs is finished by the one before."""
        self.put(partial(self._serve, engine))
        self.engine = engine

    def submit(self, call: Call) -> None:
        """Queue the jobs of a call."""
        self.put(partial(self._submit, call))

    def cancel(self, call: Call) -> None:
        """Drop the jobs of a call, and free what they hold."""
        self.put(partial(self._cancel, call))

    def close(self) -> None:
        """End the thread after the unit of work that is running."""
        self._commands.put(None)
        if self._thread.is_alive():
            self._thread.join()

    # --- in the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._loop()
        except Exception:
            log.exception("the engine's thread ended; this process serves no more forecasts")
            self._give_up()

    def _loop(self) -> None:
        gauges_due = 0.0
        for turn in itertools.count():
            if not self._run_commands():
                return
            # Beside an engine that was replaced, the new one gets every other unit of work.
            served = self.served[turn % len(self.served)]
            self._step(served)
            if served in self.served[:-1] and served.batching.idle:
                self.served.remove(served)
            del served  # its memory may be needed
            if self._out_of_memory:
                self._load_smaller()
            if time.monotonic() >= gauges_due:
                self._set_gauges()
                gauges_due = time.monotonic() + GAUGES_S

    def _run_commands(self) -> bool:
        """Run the commands that were put, waiting for one where nothing runs; False at the end."""
        while True:
            try:
                command = self._commands.get(block=False)
            except queue.Empty:
                if not all(served.batching.idle for served in self.served):
                    return True
                self._set_gauges()
                command = self._commands.get()
            if command is None or self.failed:
                return False
            command()

    def _serve(self, engine: Engine) -> None:
        self.served = [served for served in self.served if not served.batching.idle]
        self.served.append(Served(engine, _Metered(self._metrics, self._admission)))
        manifest, device = engine.manifest, engine.device
        self._metrics.bundle(manifest.name, manifest.version, manifest.precision, device.kind, device.name)
        self._metrics.device(engine.fallback is not None, engine.graph_count, engine.graph_bytes)

    def _submit(self, call: Call) -> None:
        try:
            self._add(call)
        except Exception as error:  # whatever it is, it fails this call alone
            log.exception("a forecast cannot be queued")
            self._admission.release(len(call.jobs) - len(call.results) - len(call.groups))
            self._cancel(call)
            call.finish(partial(call.done.set_exception, error))

    def _add(self, call: Call) -> None:
        served, caller = self.served[-1], Caller()
        for index, job in enumerate(call.jobs):
            try:
                served.engine.check(job)
            except EngineError as error:
                self._admission.release(1)
                self._set_result(call, index, error)
                continue
            group = served.batching.add(job, caller)
            served.calls[group] = call
            call.groups[group] = index

    def _cancel(self, call: Call) -> None:
        for served in self.served:
            for group in [group for group, owner in served.calls.items() if owner is call]:
                served.batching.cancel(group)
                del served.calls[group]
                if group.started_at is None:
                    self._admission.release(1)

    def _step(self, served: Served) -> None:
        try:
            finished = served.batching.step()
        except Exception as error:
            self._recover(served, error)
            return
        if finished:
            self._failures = 0
        for group in finished:
            call = served.calls.pop(group)
            assert group.started_at is not None
            assert group.finished_at is not None
            inference_s = group.finished_at - group.started_at
            self._admission.record_duration(inference_s / max(1, len(served.calls) + 1))
            outcome = GeneratedPaths(
                group.paths,
                served.engine.manifest,
                group.started_at - group.submitted_at,
                inference_s,
                group.largest_batch,
            )
            self._set_result(call, call.groups[group], outcome)

    def _set_result(self, call: Call, index: int, result: Result) -> None:
        call.results[index] = result
        if len(call.results) == len(call.jobs):
            results = [call.results[i] for i in range(len(call.jobs))]
            call.finish(lambda: call.done.set_result(results))

    # --- failures --------------------------------------------------------------------------------

    def _recover(self, served: Served, error: Exception) -> None:
        """Fail what ran, and go on with the same engine, with a smaller one, or not at all."""
        log.exception("the engine failed; every forecast that was running fails with it")
        fault = served.engine.device.fault(error)
        self._failures += 1
        self._fail(served, error if fault is None else EngineFailed())
        if isinstance(fault, DeviceMemoryError) and self.cache_bytes is None:
            # The device was full. Once in a process's life the bundle is loaded again, with a smaller cache,
            # but only after the exception is gone, whose traceback keeps the engine's memory.
            self.cache_bytes = served.engine.cache_bytes // 2
            self._out_of_memory = True
            self.engine = None
            self.served = []
        elif fault is not None or self._failures >= MOST_FAILURES:
            log.error("the engine is given up: %s", fault or f"it failed {self._failures} times in a row")
            self._give_up()

    def _load_smaller(self) -> None:
        self._out_of_memory = False
        assert self.cache_bytes is not None
        log.warning(
            "the device ran out of memory: the bundle is loaded again with a cache of %d MiB, half of what "
            "it had; KRONOS_CACHE_BYTES sets it",
            self.cache_bytes >> 20,
        )
        gc.collect()
        engine = self._load(self.cache_bytes)
        self._serve(engine)
        self.engine = engine

    def _give_up(self) -> None:
        """Fail everything that runs or waits; nothing more is taken."""
        self.failed = True
        for served in self.served:
            self._fail(served, EngineFailed())
        self._on_failure()

    def _fail(self, served: Served, error: Exception) -> None:
        for group in served.calls:
            if group.started_at is None:
                self._admission.release(1)
        for call in set(served.calls.values()):
            call.finish(partial(call.done.set_exception, error))
        served.restart()

    def _set_gauges(self) -> None:
        if not self.served:
            return
        newest = self.served[-1]
        batches = [served.batching for served in self.served]
        self._metrics.slots(sum(batch.rows for batch in batches), newest.batching.most_rows)
        per_token = newest.engine.token_bytes
        self._metrics.cache_bytes(
            sum(batch.cached_tokens for batch in batches) * per_token, newest.engine.cache_tokens * per_token
        )
