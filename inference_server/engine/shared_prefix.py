"""Many sample paths of a job over one cache of its history, and several such jobs that step together."""

from collections.abc import Callable, Sequence

import numpy as np

from inference_server.engine.decoder import Decoder, Prefixes, Tokens
from inference_server.engine.jobs import ForecastJob
from inference_server.engine.lanes import ModelLane, Observer
from inference_server.engine.model import Model, Region
from inference_server.engine.sequence import SequenceGroup, Status
from inference_server.engine.slots import gates_of, history_tokens, sampling_of
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
    """The paths of jobs of one shape: after their histories were taken in all step at once.

    Jobs of one shape have equally long histories and horizons and equally many paths, so that no job's arrays
    are padded because of another one: every path is the same to the bit whichever jobs it steps with. A
    single job steps in parts where the cache is too small for all of its paths.
    """

    def __init__(self, decoder: Decoder, groups: Sequence[SequenceGroup], region: Region) -> None:
        """Take tokens of the cache for jobs; more than one only where all paths fit."""
        self.decoder, self.groups = decoder, list(groups)
        job = groups[0].job
        self.prefixes = Prefixes(len(groups[0].history) - 1, region.first, len(groups))
        self.most = (region.tokens - self.prefixes.tokens) // job.pred_len
        self._taken_in = 0
        self._loop: StepLoop | None = None
        self._first = 0

    @property
    def tokens(self) -> int:
        """Tokens of cache in use."""
        stepped = self._loop.done * self._loop.rows if self._loop is not None else 0
        return self.prefixes.length * self._taken_in + stepped

    @property
    def finished(self) -> bool:
        """Whether every path has reached the horizon."""
        return self._first == self.groups[0].job.sample_count

    def advance(self) -> tuple[list[SequenceGroup], int]:
        """Take in a history, or advance paths by one token.

        Returns
        -------
        groups, rows
            Whom it was for, and how many paths got a token; 0 where a history was taken in.
        """
        if self._taken_in < len(self.groups):
            group, length = self.groups[self._taken_in], self.prefixes.length
            self.decoder.take_in(history_tokens(group.history, length), self.prefixes, self._taken_in)
            self._taken_in += 1
            return [group], 0
        if self._loop is None:
            self._loop = self._prepare()
        loop = self._loop
        loop.step()
        if loop.done == loop.steps:
            self._write_back(loop)
        return self.groups, loop.rows

    def _prepare(self) -> StepLoop:
        job = self.groups[0].job
        steps, count = job.pred_len, min(self.most, job.sample_count - self._first)
        paths = [path for group in self.groups for path in group.new_paths(count)]
        latest = np.array([path.latest() for path in paths])
        history = np.repeat(np.arange(len(self.groups)), count)
        return StepLoop(
            self.decoder,
            Caches(steps, self.prefixes.first_token + self.prefixes.tokens, self.prefixes),
            np.zeros(len(paths), np.int64),
            Tokens(
                latest[:, :1],
                latest[:, 1:],
                history[:, None] * steps + np.arange(steps),
                np.concatenate([group.history.conditioning_from(0, steps) for group in self.groups]),
                gates_of(paths),
            ),
            sampling_of(paths),
            np.stack([path.draws for path in paths]),
        )

    def _write_back(self, loop: StepLoop) -> None:
        count = loop.rows // len(self.groups)
        part = slice(self._first, self._first + count)
        s1, s2 = (drawn.reshape(len(self.groups), count, -1) for drawn in loop.generated())
        for group, own_s1, own_s2 in zip(self.groups, s1, s2, strict=True):
            group.s1[part], group.s2[part] = own_s1, own_s2
        self._first, self._loop = part.stop, None


class SharedPrefixLane(ModelLane):
    """Jobs whose paths share the cache of their history; those of one shape step together."""

    def __init__(self, model: Model, observer: Observer, clock: Callable[[], float]) -> None:
        super().__init__(model, observer, clock)
        self._waiting: list[SequenceGroup] = []
        self._running: SharedPaths | None = None
        self._dropped: set[SequenceGroup] = set()

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
        """Drop a group, and free its cache; paths that step with those of other groups step on unused."""
        for queue in (self._waiting, self._to_detokenise):
            if group in queue:
                queue.remove(group)
        if self._running is None or group not in self._running.groups:
            return
        self._dropped.add(group)
        if self._dropped.issuperset(self._running.groups):
            self._end()

    def run(self) -> list[SequenceGroup]:
        """Detokenise, or encode, prefill or step the paths of a few jobs."""
        if self._to_detokenise:
            return self._detokenise()
        if self._running is None:
            return self._begin()
        running, begun = self._running, self._clock()
        groups, rows = running.advance()
        took = self._clock() - begun
        groups = [group for group in groups if group not in self._dropped]
        if rows:
            self._observer.stepped(took, rows)
        else:
            self._observer.prefilled(took, running.prefixes.length)
        for group in groups:
            group.status = Status.RUNNING
            group.largest_batch = max(group.largest_batch, rows)
        if running.finished:
            for group in groups:
                self._tokens_complete(group)
            self._end()
        return groups

    def _end(self) -> None:
        self._running = None
        self._dropped.clear()

    def _begin(self) -> list[SequenceGroup]:
        """Encode the job whose caller has had the least time, and those waiting that can step with it."""
        self._waiting.sort(key=lambda group: (group.caller.engine_s, group.order))
        groups = self._of_one_shape()
        for group in groups:
            self._waiting.remove(group)
            self._encode(group)
        self._running = SharedPaths(self._model.decoder, groups, self._model.regions.shared)
        return groups

    def _of_one_shape(self) -> list[SequenceGroup]:
        """Return the first waiting job, and others of its shape while their rows and tokens fit."""
        first = self._waiting[0]
        paths = first.job.sample_count
        tokens = len(first.job.candles) - 1 + paths * first.job.pred_len
        most = min(self._model.device.work.most_slots // paths, self._model.regions.shared.tokens // tokens)
        alike = [group for group in self._waiting if _shape(group.job) == _shape(first.job)]
        return alike[: max(1, most)]


def _shape(job: ForecastJob) -> tuple[int, int, int]:
    return len(job.candles), job.pred_len, job.sample_count
