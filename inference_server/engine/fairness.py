"""Who runs next: three kinds of work share the machine by the time they take."""

from collections.abc import Callable
from dataclasses import dataclass, field

from inference_server.engine.jobs import Ticket


@dataclass(eq=False)
class Lane:
    """One kind of work, advanced a quantum at a time.

    Attributes
    ----------
    waits
        Whether there is anything to do.
    advance
        Does the next quantum, and returns the jobs it was for.
    used
        Engine time that the lane has had, in seconds, on the scale where lanes that are busy together
        are level.
    """

    waits: Callable[[], bool]
    advance: Callable[[], list[Ticket]]
    used: float = 0.0
    busy: bool = field(default=False, init=False)


class FairShare:
    """Runs the lane that has had the least time (start-time fair queueing, Goyal et al. 1996).

    While n lanes are busy each gets an nth of the time, whatever its quanta take: a request never waits
    for more than the quantum in progress and its own work's equal in the other lanes.
    """

    def __init__(self, lanes: list[Lane], clock: Callable[[], float]) -> None:
        self._lanes, self._clock = lanes, clock

    def advance(self) -> bool:
        """Run one quantum; False where no lane has any."""
        ready = [lane for lane in self._lanes if lane.waits()]
        if not ready:
            return False
        # A lane that was idle has saved nothing up: it starts level with those that worked.
        level = min((lane.used for lane in ready if lane.busy), default=0.0)
        for lane in self._lanes:
            if lane in ready and not lane.busy:
                lane.used = max(lane.used, level)
            lane.busy = lane in ready
        lane = min(ready, key=lambda one: one.used)
        before = self._clock()
        tickets = lane.advance()
        took = self._clock() - before
        lane.used += took
        for ticket in tickets:
            ticket.request.served += took / len(tickets)
        return True
