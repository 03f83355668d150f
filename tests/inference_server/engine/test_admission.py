"""Who is admitted to the queue, and when those who are not should try again."""

import pytest

from inference_server.engine.admission import LONGEST_RETRY_S, Admission
from inference_server.errors import QueueFull
from inference_server.metrics import Metrics


def test_the_queue_has_a_limit_and_counts_all_jobs_of_a_call_or_none() -> None:
    admission = Admission(3, Metrics())
    admission.admit(2)
    with pytest.raises(QueueFull):
        admission.admit(2)
    assert admission.waiting == 2
    admission.admit(1)
    admission.release(3)
    assert admission.waiting == 0


def test_an_empty_queue_takes_a_call_larger_than_the_limit() -> None:
    admission = Admission(3, Metrics())
    admission.admit(25)
    with pytest.raises(QueueFull):
        admission.admit(1)


@pytest.mark.parametrize(("seconds", "retry_s"), [(0.0, 1), (1.0, 3), (1000.0, LONGEST_RETRY_S)])
def test_a_refused_caller_comes_back_when_half_of_the_queue_has_begun(seconds: float, retry_s: int) -> None:
    admission = Admission(30, Metrics())
    for _ in range(100):  # the moving average settles
        admission.record_duration(seconds / 5)
    admission.admit(30)
    with pytest.raises(QueueFull) as refusal:
        admission.admit(1)
    assert refusal.value.retry_after_s == retry_s
