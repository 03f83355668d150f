"""The lanes of the running batch: prefill, step and detokenise rows in slots, and refill full contexts."""

from collections import deque
from collections.abc import Callable, Sequence

from inference_server.engine.fairness import Lane
from inference_server.engine.model import Model
from inference_server.engine.sequence import SamplePath, SequenceGroup, Status
from inference_server.engine.slots import Slots


class Observer:
    """Receives what the engine did; the methods of this class ignore it."""

    def begun(self, waited_s: float) -> None:
        """A job that waited so many seconds is being encoded."""

    def prefilled(self, seconds: float, tokens: int) -> None:
        """A history of so many tokens was prefilled, or a context refilled."""

    def stepped(self, seconds: float, rows: int) -> None:
        """So many rows advanced by one token."""


class ModelLane(Lane):
    """What every lane does with a model: encode at the beginning, detokenise at the end."""

    def __init__(self, model: Model, observer: Observer, clock: Callable[[], float]) -> None:
        super().__init__()
        self._model, self._observer, self._clock = model, observer, clock
        self._to_detokenise: deque[SequenceGroup] = deque()

    def _encode(self, group: SequenceGroup) -> None:
        group.started_at = self._clock()
        self._observer.begun(group.started_at - group.submitted_at)
        group.encoded = self._model.encode(group.job)
        group.status = Status.PREFILL

    def _tokens_complete(self, group: SequenceGroup) -> None:
        group.status = Status.DETOKENISING
        self._to_detokenise.append(group)

    def _detokenise(self) -> list[SequenceGroup]:
        """Make candles of a few paths of the oldest group whose tokens are complete."""
        group, count = self._to_detokenise[0], self._model.device.work.detokenise_rows
        group.candles.append(self._model.detokenise(group, group.paths_detokenised, count))
        if group.paths_detokenised == group.job.sample_count:
            self._to_detokenise.popleft()
            group.status = Status.FINISHED
        return [group]


class BatchLane(ModelLane):
    """Rows of many jobs in slots of one cache: new ones are prefilled, then all step together."""

    def __init__(self, model: Model, slots: Slots, observer: Observer, clock: Callable[[], float]) -> None:
        super().__init__(model, observer, clock)
        self._slots = slots
        self._waiting: list[SequenceGroup] = []
        self._prefilled_last = False

    @property
    def has_work(self) -> bool:
        """Whether rows step, wait for slots that are free, or wait to be detokenised."""
        return bool(self._to_detokenise or self._slots.stepping or self._next_to_prefill() is not None)

    def add(self, group: SequenceGroup) -> None:
        """Queue a group."""
        self._waiting.append(group)

    def remove(self, group: SequenceGroup) -> None:
        """Drop a group, and free its slots."""
        for queue in (self._waiting, self._to_detokenise):
            if group in queue:
                queue.remove(group)
        self._slots.remove(group)

    def run(self) -> list[SequenceGroup]:
        """Detokenise, encode, prefill or step."""
        if self._to_detokenise:
            return self._detokenise()
        candidate = self._next_to_prefill()
        # After a prefill one step: a stream of new jobs must not stop those that run.
        if candidate is not None and not (self._prefilled_last and self._slots.stepping):
            group, paths = candidate
            if group.status is Status.WAITING:
                self._encode(group)
            else:
                self._prefill(group, paths)
            return [group]
        self._prefilled_last = False
        return self._step()

    def paths_finished(self, paths: Sequence[SamplePath]) -> None:
        """Note paths that have reached the horizon."""
        for path in paths:
            path.group.paths_done += 1
            if path.group.paths_done == path.group.job.sample_count:
                self._tokens_complete(path.group)

    def _next_to_prefill(self) -> tuple[SequenceGroup, int] | None:
        """Return the first waiting group that may have slots, and how many; None while it must wait.

        A job may hold half of the slots, so that one with a thousand paths leaves room for others.
        """
        most = max(1, self._slots.count // 2)
        for group in self._waiting:
            held = group.paths_begun - group.paths_done
            wanted = min(group.job.sample_count - group.paths_begun, most - held)
            if wanted > 0:
                return (group, wanted) if wanted <= self._slots.free else None
        return None

    def _prefill(self, group: SequenceGroup, count: int) -> None:
        begun = self._clock()
        self._slots.add(group.new_paths(count))
        self._observer.prefilled(self._clock() - begun, len(group.history))
        if group.paths_begun == group.job.sample_count:
            self._waiting.remove(group)
            group.status = Status.RUNNING
        self._prefilled_last = True

    def _step(self) -> list[SequenceGroup]:
        rows = list(self._slots.stepping)
        begun = self._clock()
        finished, steps = self._slots.step(alone=self._next_to_prefill() is None)
        self.paths_finished(finished)
        took = self._clock() - begun
        for _ in range(steps):
            self._observer.stepped(took / steps, len(rows))
        for path in rows:
            path.group.largest_batch = max(path.group.largest_batch, len(rows))
        return [path.group for path in rows]


class RefillLane(Lane):
    """Rows whose context is full: their windows are prefilled again, beside the rows that step."""

    def __init__(
        self,
        model: Model,
        slots: Slots,
        batch: BatchLane,
        observer: Observer,
        clock: Callable[[], float],
    ) -> None:
        super().__init__()
        self._model, self._slots, self._batch = model, slots, batch
        self._observer, self._clock = observer, clock

    @property
    def has_work(self) -> bool:
        """Whether any row waits to be refilled."""
        return bool(self._slots.full)

    def run(self) -> list[SequenceGroup]:
        """Refill rows of one job."""
        group = self._slots.full[0].group
        begun = self._clock()
        self._batch.paths_finished(self._slots.refill())
        window = self._model.max_context + 1 - group.job.context_stride
        self._observer.prefilled(self._clock() - begun, window)
        return [group]
