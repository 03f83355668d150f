from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from inference_server.engine.fairness import FairShare, Lane
from inference_server.engine.jobs import ForecastJob
from inference_server.engine.sequence import Caller, SequenceGroup
from tests.helpers.jobs import hourly_job


class Work(Lane):
    """Units of given durations, with the time on a clock that all lanes of a test share."""

    def __init__(self, clock: list[float], durations: list[float]) -> None:
        super().__init__()
        self.clock, self.left, self.ended = clock, list(durations), list[float]()

    @property
    def has_work(self) -> bool:
        return bool(self.left)

    def run(self) -> Sequence[SequenceGroup]:
        self.clock[0] += self.left.pop()
        self.ended.append(self.clock[0])
        return []


def advance(share: FairShare, clock: list[float]) -> bool:
    lane = share.schedule()
    if lane is None:
        return False
    begun = clock[0]
    share.charge(lane, lane.run(), clock[0] - begun)
    return True


def run(*durations: list[float]) -> list[Work]:
    clock = [0.0]
    works = [Work(clock, one) for one in durations]
    share = FairShare(works)
    while advance(share, clock):
        pass
    assert not share.has_work
    return works


def test_time_is_shared_whatever_a_unit_takes() -> None:
    short, long = run([1.0] * 50, [10.0] * 20)
    # 50 s of its own work and as much of the other's, give or take one unit of the other.
    assert 100 - 10 <= short.ended[-1] <= 100 + 10
    assert long.ended[-1] == 250


DURATIONS = st.lists(st.floats(0.1, 50), min_size=1, max_size=30)


@given(DURATIONS, DURATIONS)
def test_nobody_waits_longer_than_its_own_time_and_one_unit(first: list[float], second: list[float]) -> None:
    done, _ = run(first, second)
    assert done.ended[-1] <= 2 * sum(first) + max(second) + 1e-6


def test_an_idle_lane_saves_no_time_up() -> None:
    clock = [0.0]
    early, late = Work(clock, [1.0] * 100), Work(clock, [])
    share = FairShare([early, late])
    for _ in range(50):
        advance(share, clock)
    late.left = [1.0] * 20
    for _ in range(20):
        advance(share, clock)
    assert len(late.left) == 10


def test_a_callers_jobs_are_charged_once_for_a_unit() -> None:
    caller = Caller()
    job: ForecastJob = hourly_job()
    groups = [SequenceGroup(job, caller, i, 0.0) for i in range(2)]
    lane = Work([0.0], [])
    FairShare([lane]).charge(lane, groups, 3.0)
    assert (caller.engine_s, lane.used_s) == (3.0, 3.0)
