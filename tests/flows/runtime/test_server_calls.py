"""Waits for a busy server: as long as it asks for, within the time of the call."""

import random
from types import SimpleNamespace

import pytest

from flows.runtime import server_calls
from flows.runtime.server_calls import LONGEST_WAIT_SHARE, SHORTEST_WAIT_S, while_busy
from inference_server.client import PredictionRefused, ServerTimeout, ServerUnavailable
from inference_server.schemas import Problem


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits, without their time passing for anything but the clock of the calls."""
    waits: list[float] = []
    clock = SimpleNamespace(monotonic=lambda: sum(waits), sleep=waits.append)
    monkeypatch.setattr(server_calls, "time", clock)
    monkeypatch.setattr(server_calls, "random", SimpleNamespace(uniform=lambda low, high: low))
    return waits


def busy(retry_after_s: float | None) -> ServerUnavailable:
    return ServerUnavailable("Queue full (429)", 429, retry_after_s)


def test_the_wait_is_what_the_server_asks_for(waits: list[float]) -> None:
    failures = [busy(20.0), busy(0.0), busy(40.0)]
    said: list[str] = []
    left = []

    def call(left_s: float) -> str:
        left.append(left_s)
        if failures:
            raise failures.pop(0)
        return "answer"

    assert while_busy(call, 100.0, said.append) == "answer"
    assert waits == [20.0, SHORTEST_WAIT_S, 40.0]
    assert left == [100.0, 80.0, 79.5, 39.5]
    assert said[0] == "the server is busy, another call follows in 20 s: Queue full (429)"


def test_calls_that_are_refused_together_return_apart_and_none_too_early(
    waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_calls, "random", random)
    failures = [busy(20.0) for _ in range(20)]

    def call(_: float) -> None:
        if failures:
            raise failures.pop()

    while_busy(call, 1e6, lambda _: None)
    assert len(set(waits)) == 20
    assert all(20.0 <= wait <= 20.0 * LONGEST_WAIT_SHARE for wait in waits)


def test_a_server_that_stays_busy_is_given_up_within_the_time(waits: list[float]) -> None:
    def call(_: float) -> None:
        raise busy(30.0)

    with pytest.raises(
        ServerTimeout, match=r"another 30 s, .* 100 s .*KRONOS_TIMEOUT_S.*Queue full"
    ) as gave_up:
        while_busy(call, 100.0, lambda _: None)
    assert waits == [30.0] * 3
    assert gave_up.value.status == 429


@pytest.mark.parametrize(
    "failure",
    [
        busy(None),
        ServerTimeout("Deadline exceeded (504)", 504, 5.0),
        PredictionRefused(422, Problem(title="No", status=422, detail="no")),
    ],
    ids=["no time named", "timeout", "refusal"],
)
def test_other_failures_are_not_waited_for(waits: list[float], failure: Exception) -> None:
    def call(_: float) -> None:
        raise failure

    with pytest.raises(type(failure)) as raised:
        while_busy(call, 100.0, lambda _: None)
    assert raised.value is failure
    assert waits == []
