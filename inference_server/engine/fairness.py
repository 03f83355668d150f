"""Which kind of work runs next: the engine's time is shared equally between the kinds that have work."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from inference_server.engine.sequence import SequenceGroup


class Lane(ABC):
    """One kind of work, done a unit at a time.

    Attributes
    ----------
    used_s
        Engine time that the lane has had, in seconds. A lane that had no work is raised to the level of
        those that had.
    busy
        Whether it had work when a lane was last chosen.
    """

    def __init__(self) -> None:
        self.used_s = 0.0
        self.busy = False

    @property
    @abstractmethod
    def has_work(self) -> bool:
        """Whether there is anything to do."""

    @abstractmethod
    def run(self) -> Sequence[SequenceGroup]:
        """Do one unit of work, and return the groups it was for."""


class FairShare:
    """Chooses the lane that has had the least time (start-time fair queueing, Goyal et al. 1996).

    While n lanes have work each gets an nth of the time, however long its units take: a request waits for
    no more than the unit in progress and, in the other lanes, as much time as its own work takes.
    """

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = lanes

    @property
    def has_work(self) -> bool:
        """Whether any lane has anything to do."""
        return any(lane.has_work for lane in self._lanes)

    def schedule(self) -> Lane | None:
        """Return the lane to run next; None where no lane has work."""
        ready = [lane for lane in self._lanes if lane.has_work]
        if not ready:
            return None
        # An idle lane saves no time up: it starts level with those that worked.
        level = min((lane.used_s for lane in ready if lane.busy), default=0.0)
        for lane in self._lanes:
            if lane in ready and not lane.busy:
                lane.used_s = max(lane.used_s, level)
            lane.busy = lane in ready
        return min(ready, key=lambda lane: lane.used_s)

    def charge(self, lane: Lane, groups: Sequence[SequenceGroup], seconds: float) -> None:
        """Note the time of a unit of work with its lane and, in equal parts, with its groups' callers."""
        lane.used_s += seconds
        for group in groups:
            group.caller.engine_s += seconds / len(groups)
