from hypothesis import given
from hypothesis import strategies as st

from inference_server.engine.fairness import FairShare, Lane
from inference_server.engine.jobs import ForecastJob, Request, Ticket
from tests.helpers.jobs import hourly_job


class Work:
    """Quanta of given durations, which a clock that tests control passes through."""

    def __init__(self, clock: list[float], durations: list[float]) -> None:
        self.clock, self.left, self.ended = clock, list(durations), []
        self.lane = Lane(lambda: bool(self.left), self.advance)

    def advance(self) -> list[Ticket]:
        self.clock[0] += self.left.pop()
        self.ended.append(self.clock[0])
        return []


def run(*durations: list[float]) -> list[Work]:
    clock = [0.0]
    works = [Work(clock, one) for one in durations]
    share = FairShare([work.lane for work in works], lambda: clock[0])
    while share.advance():
        pass
    return works


def test_time_is_shared_whatever_a_quantum_takes() -> None:
    short, long = run([1.0] * 50, [10.0] * 20)
    # 50 s of its own work and as much of the other's, give or take one quantum of the other.
    assert 100 - 10 <= short.ended[-1] <= 100 + 10
    assert long.ended[-1] == 250


DURATIONS = st.lists(st.floats(0.1, 50), min_size=1, max_size=30)


@given(DURATIONS, DURATIONS)
def test_nobody_waits_longer_than_its_own_time_and_one_quantum(
    mine: list[float], theirs: list[float]
) -> None:
    ours, _ = run(mine, theirs)
    assert ours.ended[-1] <= 2 * sum(mine) + max(theirs) + 1e-6


def test_a_lane_that_was_idle_has_saved_nothing_up() -> None:
    clock = [0.0]
    early, late = Work(clock, [1.0] * 100), Work(clock, [])
    share = FairShare([early.lane, late.lane], lambda: clock[0])
    for _ in range(50):
        share.advance()
    late.left = [1.0] * 20
    for _ in range(20):
        share.advance()
    assert len(late.left) == 10


def test_what_a_request_s_jobs_took_is_noted_once() -> None:
    clock = [0.0]
    request = Request()
    job: ForecastJob = hourly_job()
    tickets = [Ticket(job, request, i, 0.0) for i in range(2)]

    def advance() -> list[Ticket]:
        clock[0] += 3
        return tickets

    FairShare([Lane(lambda: True, advance)], lambda: clock[0]).advance()
    assert request.served == 3
