"""Many sample paths of one job over one cache of its history: a prefix that they share."""

from collections.abc import Callable

import numpy as np

from inference_server.engine.decoder import Decoder, Tokens
from inference_server.engine.jobs import ForecastJob
from inference_server.engine.lanes import ModelLane, Observer
from inference_server.engine.model import Model
from inference_server.engine.sequence import SequenceGroup, Status
from inference_server.engine.slots import gates_of, prefill_history, sampling_of
from inference_server.engine.step_loop import Caches, StepLoop

# Paths from which on one product over a shared history beats reading a copy of it per path.
SHARED_PATHS = 8


def is_exact(length: int, pred_len: int, max_context: int) -> bool:
    """Whether the cache reproduces upstream: the context never slides."""
    return min(length, max_context) + pred_len <= max_context + 1


def shares_prefix(job: ForecastJob, max_context: int) -> bool:
    """Whether a job's paths read their history's cache from one place instead of a copy each.

    A property of the job alone, so that its result is too: which of the two graphs runs may show in
    the last bits.
    """
    length = len(job.candles)
    return (
        job.sample_count >= SHARED_PATHS
        and is_exact(length, job.pred_len, max_context)
        and length <= max_context
    )


class SharedPaths:
    """One job's paths: after a prefill all step at once, in parts where the cache is too small."""

    def __init__(self, decoder: Decoder, group: SequenceGroup, first_token: int, tokens: int) -> None:
        """Take tokens first_token … first_token + tokens - 1 of the cache for a job."""
        self.decoder, self.group, self.first_token = decoder, group, first_token
        self.prefix_length = len(group.history) - 1
        self.most = (tokens - self.prefix_length) // group.job.pred_len
        self._prefilled = False
        self._loop: StepLoop | None = None
        self._first = 0

    @property
    def rows(self) -> int:
        """Paths that step now."""
        return self._loop.rows if self._loop is not None else 0

    @property
    def tokens(self) -> int:
        """Tokens of cache in use."""
        stepped = self._loop.done * self._loop.rows if self._loop is not None else 0
        return self._prefilled * self.prefix_length + stepped

    @property
    def finished(self) -> bool:
        """Whether every path has reached the horizon."""
        return self._first == self.group.job.sample_count

    def advance(self) -> int:
        """Prefill, or advance the paths of a part by one token; return how many paths, 0 for a prefill."""
        if not self._prefilled:
            history = self.group.history
            prefill_history(self.decoder, history, self.prefix_length, self.prefix_length, self.first_token)
            self._prefilled = True
            return 0
        if self._loop is None:
            self._loop = self._prepare()
        loop = self._loop
        loop.step()
        if loop.done == loop.steps:
            part = slice(self._first, self._first + loop.rows)
            self.group.s1[part], self.group.s2[part] = loop.generated()
            self._first, self._loop = part.stop, None
        return loop.rows

    def _prepare(self) -> StepLoop:
        group, steps = self.group, self.group.job.pred_len
        count = min(self.most, group.job.sample_count - self._first)
        paths = group.new_paths(count)
        s1, s2 = paths[0].latest()
        return StepLoop(
            self.decoder,
            Caches(steps, self.first_token, self.prefix_length),
            np.zeros(count, np.int64),
            Tokens(
                np.full((count, 1), s1),
                np.full((count, 1), s2),
                np.tile(np.arange(steps), (count, 1)),
                group.history.conditioning_from(0, steps),
                gates_of(paths),
            ),
            sampling_of(paths),
            np.stack([path.draws for path in paths]),
        )


class SharedPrefixLane(ModelLane):
    """Jobs whose paths share the cache of their history, one job at a time."""

    def __init__(self, model: Model, observer: Observer, clock: Callable[[], float]) -> None:
        super().__init__(model, observer, clock)
        self._waiting: list[SequenceGroup] = []
        self._running: SharedPaths | None = None

    @property
    def has_work(self) -> bool:
        """Whether a job runs or waits."""
        return bool(self._to_detokenise or self._running is not None or self._waiting)

    @property
    def tokens(self) -> int:
        """Tokens of cache in use."""
        return self._running.tokens if self._running is not None else 0

    def add(self, group: SequenceGroup) -> None:
        """Queue a group."""
        self._waiting.append(group)

    def remove(self, group: SequenceGroup) -> None:
        """Drop a group, and free its cache."""
        for queue in (self._waiting, self._to_detokenise):
            if group in queue:
                queue.remove(group)
        if self._running is not None and self._running.group is group:
            self._running = None

    def run(self) -> list[SequenceGroup]:
        """Detokenise, or encode, prefill or step the paths of one job."""
        if self._to_detokenise:
            return self._detokenise()
        if self._running is None:
            return [self._begin()]
        running, begun = self._running, self._clock()
        rows = running.advance()
        group = running.group
        if rows:
            self._observer.stepped(self._clock() - begun, rows)
            group.largest_batch = max(group.largest_batch, rows)
        else:
            self._observer.prefilled(self._clock() - begun, running.prefix_length)
            group.status = Status.RUNNING
        if running.finished:
            self._tokens_complete(group)
            self._running = None
        return [group]

    def _begin(self) -> SequenceGroup:
        """Encode the job whose caller has had the least time: batches take turns with single requests."""
        group = min(self._waiting, key=lambda waiting: (waiting.caller.engine_s, waiting.order))
        self._waiting.remove(group)
        self._encode(group)
        model = self._model
        first_token = model.slot_count * model.max_context
        self._running = SharedPaths(model.decoder, group, first_token, model.shared_tokens)
        return group
