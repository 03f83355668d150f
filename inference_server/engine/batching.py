"""Continuous batching: jobs come in at any time, one unit of work is done at a time, paths come out.

A unit of work is the encoding of one history, one prefill, one step of all rows that step together, one
part of a window, or the detokenising of a few finished paths. Between two units jobs may be added or
cancelled. The lanes share the time fairly:

- the *batch*: rows of many jobs in slots of one cache (`lanes.py`, `slots.py`);
- *shared prefixes*: jobs of many paths that read one cache of their history (`shared_prefix.py`), those of
  one shape together;
- *windows*: jobs whose context slides (`windows.py`), so that they delay no other;
- *refills*, in place of the last two where no graph reads a shared history: windows of rows in slots.
"""

import itertools
import time
from collections.abc import Callable, Sequence

from inference_server.engine.fairness import FairShare
from inference_server.engine.jobs import ForecastJob
from inference_server.engine.lanes import BatchLane, Observer, RefillLane
from inference_server.engine.model import Model
from inference_server.engine.sequence import Caller, SequenceGroup, Status
from inference_server.engine.shared_prefix import SharedPrefixLane, is_exact, shares_prefix
from inference_server.engine.slots import Slots
from inference_server.engine.windows import WindowLane


class Batching:
    """Takes jobs, and returns them finished, a unit of work at a time; belongs to one thread."""

    def __init__(
        self, model: Model, observer: Observer | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._model, self._clock = model, clock
        self._order = itertools.count()
        observer = observer or Observer()
        self._slots = Slots(model.decoder, model.slot_count, model.max_context, model.buckets)
        self._batch = BatchLane(model, self._slots, observer, clock)
        self._shared = SharedPrefixLane(model, observer, clock)
        self._windows = WindowLane(model, observer, clock)
        refills = RefillLane(model, self._slots, self._batch, observer, clock)
        self._fair_share = FairShare([self._batch, refills, self._shared, self._windows])

    def add(self, job: ForecastJob, caller: Caller | None = None) -> SequenceGroup:
        """Queue a job; those of one `caller` count as one where the engine's time is shared."""
        group = SequenceGroup(job, caller or Caller(), next(self._order), self._clock())
        self._lane_of(job).add(group)
        return group

    def _lane_of(self, job: ForecastJob) -> BatchLane | SharedPrefixLane | WindowLane:
        context = self._model.max_context
        if not self._model.shared_tokens:
            return self._batch
        if not is_exact(len(job.candles), job.pred_len, context):
            return self._windows
        return self._shared if shares_prefix(job, context) else self._batch

    def cancel(self, group: SequenceGroup) -> None:
        """Drop a group whatever its status, and free what it holds."""
        for lane in (self._batch, self._shared, self._windows):
            lane.remove(group)

    def step(self) -> list[SequenceGroup]:
        """Do one unit of work, and return the groups that it finished."""
        lane = self._fair_share.schedule()
        if lane is None:
            return []
        begun = self._clock()
        groups = lane.run()
        self._fair_share.charge(lane, groups, self._clock() - begun)
        return self._collect(groups)

    def _collect(self, groups: Sequence[SequenceGroup]) -> list[SequenceGroup]:
        finished = [group for group in groups if group.status is Status.FINISHED]
        for group in finished:
            group.finished_at = self._clock()
        return finished

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._fair_share.has_work

    @property
    def rows(self) -> int:
        """Slots that are taken."""
        return self._slots.count - self._slots.free

    @property
    def most_rows(self) -> int:
        """Slots there are; a job with a shared prefix needs none."""
        return self._slots.count

    @property
    def cached_tokens(self) -> int:
        """Tokens of cache in use."""
        return self._slots.tokens + self._shared.tokens + self._windows.tokens
