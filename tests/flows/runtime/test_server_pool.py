"""Which server of a list is called, and what happens where one fails, is busy or holds another model."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.runtime import server_pool
from flows.runtime.local_server import free_port
from flows.runtime.server_pool import LONGEST_REST_S, ServerPool
from inference_server.client import Client, PredictionRefused, ServerTimeout, ServerUnavailable
from inference_server.schemas import Candles, PredictAnswer, PredictRequest
from tests.helpers.stand_in_server import MODEL, Script, silent_server, stand_in_server

HOUR_MS = 3_600_000
REQUEST = PredictRequest(
    symbol="SPY",
    timeframe="1h",
    pred_len=1,
    sample_count=1,
    candles=Candles(timestamp=[0], open=[1.0], high=[1.0], low=[1.0], close=[1.0]),
    future_timestamps=[HOUR_MS],
)
OTHER_VERSION = msgspec.structs.replace(MODEL, version="v2")
OTHER_PRECISION = msgspec.structs.replace(MODEL, precision="fp16")


class Servers:
    """Stand-in servers by name, which the test starts and stops, and the pool of all of them.

    Attributes
    ----------
    now
        The pool's clock in seconds, which the test moves.
    notices, said
        What the pool warned of and reported.
    """

    def __init__(self, names: str) -> None:
        self.now = 1000.0
        self.notices: list[str] = []
        self.said: list[str] = []
        self.scripts = {name: Script() for name in names}
        self._ports = {name: free_port() for name in names}
        self._running: dict[str, AbstractContextManager[str]] = {}
        for name in names:
            self.start(name)
        clients = {self.address(name): Client(self.address(name), 5.0) for name in names}
        self.pool = ServerPool(clients, MODEL, self.notices.append, self.said.append)

    def address(self, name: str) -> str:
        return f"http://127.0.0.1:{self._ports[name]}"

    def start(self, name: str) -> None:
        self._running[name] = stand_in_server(self.scripts[name], self._ports[name])
        self._running[name].__enter__()

    def stop(self, *names: str) -> None:
        for name in names:
            self._running.pop(name).__exit__(None, None, None)

    def close(self) -> None:
        self.pool.__exit__(None, None, None)
        self.stop(*list(self._running))

    def forecast(self, times: int = 1) -> PredictAnswer:
        """Ask the pool for forecasts one after the other; return the last."""
        answers = [self.pool.call(lambda client: client.predict(REQUEST), 5.0) for _ in range(times)]
        return answers[-1]

    def calls(self) -> Mapping[str, int]:
        """Forecasts that each server was asked for since the last look, of those that were asked."""
        counts = {name: len(script.requests) for name, script in self.scripts.items()}
        for script in self.scripts.values():
            script.requests.clear()
        return {name: count for name, count in counts.items() if count}

    def fail_next(self, name: str, status: int, retry_after: str | None = None) -> None:
        self.scripts[name].statuses["SPY"].append(status)
        if retry_after is not None:
            self.scripts[name].retry_after["SPY"] = retry_after


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Servers]]:
    """Starts servers by name, one for each letter, on a clock of the test's."""
    with ExitStack() as started:

        def make(names: str) -> Servers:
            servers = Servers(names)
            started.callback(servers.close)
            monkeypatch.setattr(server_pool, "time", SimpleNamespace(monotonic=lambda: servers.now))
            return servers

        yield make


Start = Callable[[str], Servers]


def test_idle_servers_are_called_in_turn(start: Start) -> None:
    servers = start("abc")
    servers.forecast(7)
    assert servers.calls() == {"a": 3, "b": 2, "c": 2}


@pytest.mark.parametrize(("names", "calls"), [("ab", 4), ("abc", 6), ("abcd", 4)])
def test_calls_under_way_are_spread_evenly(start: Start, names: str, calls: int) -> None:
    servers = start(names)
    all_under_way = threading.Barrier(calls, timeout=30)

    def hold(client: Client) -> str:
        all_under_way.wait()
        return client.model().name + str(id(client._http))

    with ThreadPoolExecutor(calls) as threads:
        answers = list(threads.map(lambda _: servers.pool.call(hold, 60.0), range(calls)))
    assert sorted(Counter(answers).values()) == [calls // len(names)] * len(names)


def test_a_slow_server_gets_fewer_calls(start: Start) -> None:
    servers = start("ab")
    holding, go_on = threading.Event(), threading.Event()

    def hold(_: Client) -> None:
        holding.set()
        go_on.wait(30)

    with ThreadPoolExecutor(1) as thread:
        held = thread.submit(servers.pool.call, hold, 60.0)
        holding.wait(30)
        servers.forecast(5)
        go_on.set()
        held.result()
    assert servers.calls() == {"b": 5}


def test_the_calls_of_a_server_that_is_gone_go_to_the_others(start: Start) -> None:
    servers = start("ab")
    servers.stop("a")
    servers.forecast(5)
    assert servers.calls() == {"b": 5}
    (notice,) = servers.notices
    assert notice.startswith(f"server-unavailable: SERVER UNAVAILABLE: {servers.address('a')}: the other")


@pytest.mark.parametrize("status", [500, 502, 429])
def test_a_failure_is_made_up_for_by_another_server(start: Start, status: int) -> None:
    servers = start("ab")
    servers.fail_next("a", status)
    servers.forecast()
    assert servers.calls() == {"a": 1, "b": 1}


def test_a_failed_server_is_tried_again_after_waits_that_double(start: Start) -> None:
    servers = start("ab")
    script = servers.scripts["a"]
    servers.forecast(2)  # both are checked
    script.model_statuses = [500] * 99
    servers.fail_next("a", 500)
    servers.forecast()
    tried_at, began = [], servers.now
    for _ in range(150):
        before = script.model_calls
        servers.forecast()
        if script.model_calls > before:
            tried_at.append(servers.now - began)
        servers.now += 1.0
    gaps = [later - earlier for earlier, later in pairwise(tried_at)]
    assert tried_at[0] == 1.0
    assert gaps == [2.0, 4.0, 8.0, 16.0, LONGEST_REST_S, LONGEST_REST_S, LONGEST_REST_S]
    assert len(servers.notices) == 1


def test_a_server_that_comes_back_is_used_again(start: Start) -> None:
    servers = start("ab")
    servers.stop("a")
    servers.forecast(2)
    servers.start("a")
    servers.forecast(2)
    assert servers.calls() == {"b": 4}
    servers.now += 1.0
    servers.forecast(4)
    assert servers.calls() == {"a": 2, "b": 2}
    assert servers.said == [f"{servers.address('a')} answers again, and is used again"]


def test_a_server_that_comes_back_with_another_model_is_left_out(start: Start) -> None:
    servers = start("ab")
    servers.forecast(2)
    servers.stop("a")
    servers.forecast(2)
    servers.scripts["a"].model = OTHER_VERSION
    servers.start("a")
    servers.calls()
    servers.now += 1.0
    servers.forecast(4)
    assert servers.calls() == {"b": 4}
    assert "it holds stand-in v2 (fp32), the run forecasts with stand-in v1 (fp32)" in servers.notices[-1]


def test_calls_that_fail_together_count_as_one_failure(start: Start) -> None:
    servers = start("ab")
    servers.stop("b")
    servers.forecast(2)
    both_under_way = threading.Barrier(2, timeout=30)

    def lose_connection(_: Client) -> None:
        both_under_way.wait()
        raise ServerUnavailable("the connection was lost")

    def call(_: int) -> None:
        with pytest.raises(ServerUnavailable):
            servers.pool.call(lose_connection, 60.0)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(call, range(2)))
    servers.start("b")
    servers.calls()
    servers.now += 1.0
    servers.forecast(2)
    assert servers.calls() == {"a": 1, "b": 1}


def test_a_busy_server_is_left_alone_for_as_long_as_it_asks(start: Start) -> None:
    servers = start("ab")
    servers.fail_next("a", 429, "20")
    servers.forecast()
    assert servers.calls() == {"a": 1, "b": 1}
    servers.now += 19.0
    servers.forecast(4)
    assert servers.calls() == {"b": 4}
    servers.now += 1.5
    servers.forecast(4)
    assert servers.calls() == {"a": 2, "b": 2}
    assert servers.notices == []


def test_where_all_are_busy_the_shortest_wait_counts(start: Start) -> None:
    servers = start("ab")
    servers.fail_next("a", 429, "20")
    servers.fail_next("b", 503, "5")
    with pytest.raises(ServerUnavailable, match="no server of the list can be used") as busy:
        servers.forecast()
    assert busy.value.retry_after_s == 5.0
    servers.forecast()


def test_where_all_fail_each_is_named_and_tried_again_by_the_next_call(start: Start) -> None:
    servers = start("ab")
    servers.stop("a", "b")
    with pytest.raises(ServerUnavailable) as failure:
        servers.forecast()
    assert servers.address("a") in str(failure.value)
    assert servers.address("b") in str(failure.value)
    servers.start("b")
    servers.forecast()


@pytest.mark.parametrize("model", [OTHER_VERSION, OTHER_PRECISION])
def test_a_server_with_another_model_is_left_out_and_named_once(start: Start, model: Any) -> None:
    servers = start("abc")
    servers.scripts["b"].model = model
    servers.forecast(6)
    assert servers.calls() == {"a": 3, "c": 3}
    (notice,) = servers.notices
    assert notice.startswith(f"server-left-out: SERVER LEFT OUT: {servers.address('b')}: it holds stand-in ")
    assert f"{model.version} ({model.precision}), the run forecasts with stand-in v1 (fp32)" in notice


def test_a_server_that_refuses_the_key_is_left_out_and_named(start: Start) -> None:
    servers = start("ab")
    servers.scripts["a"].model_statuses = [401]
    servers.forecast(2)
    assert servers.calls() == {"b": 2}
    assert "it does not name its model: Told to fail (401)" in servers.notices[0]


def test_where_every_server_has_another_model_the_answers_show_it(start: Start) -> None:
    servers = start("ab")
    for script in servers.scripts.values():
        script.model = OTHER_VERSION
    assert [servers.forecast().model.version for _ in range(2)] == ["v2", "v2"]


def test_a_server_that_changes_its_model_in_the_run_is_left_out(start: Start) -> None:
    servers = start("ab")
    servers.forecast(2)
    servers.scripts["a"].model = OTHER_VERSION
    servers.calls()
    assert servers.forecast().model.version == "v1"
    assert servers.calls() == {"a": 1, "b": 1}
    assert servers.forecast(3).model.version == "v1"
    assert servers.calls() == {"b": 3}
    (notice,) = servers.notices
    assert notice.endswith("it has changed its model to stand-in v2")
    servers.scripts["b"].model = OTHER_VERSION
    assert servers.forecast().model.version == "v2"  # the run's own rule for a changed model


def test_a_server_left_out_is_no_substitute_for_one_that_is_down(start: Start) -> None:
    servers = start("ab")
    servers.scripts["b"].model = OTHER_VERSION
    servers.forecast(2)
    servers.stop("a")
    with pytest.raises(ServerUnavailable, match=servers.address("a")):
        servers.forecast()


@pytest.mark.parametrize(("status", "kind"), [(504, ServerTimeout), (422, PredictionRefused)])
def test_what_another_server_would_answer_too_is_not_asked_again(
    start: Start, status: int, kind: type[Exception]
) -> None:
    servers = start("ab")
    servers.fail_next("a", status)
    with pytest.raises(kind):
        servers.forecast()
    assert servers.calls() == {"a": 1}
    servers.forecast(2)
    assert servers.calls() == {"a": 1, "b": 1}


def test_a_server_that_hangs_before_a_forecast_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_pool, "CHECK_S", 0.3)
    notices: list[str] = []
    script = Script()
    with silent_server() as hanging, stand_in_server(script) as serving:
        clients = {address: Client(address, 60.0) for address in (hanging, serving)}
        with (
            ServerPool(clients, MODEL, notices.append, notices.append) as pool,
            ThreadPoolExecutor(4) as threads,
        ):
            list(threads.map(lambda _: pool.call(lambda client: client.predict(REQUEST), 60.0), range(8)))
    assert len(script.requests) == 8
    (notice,) = notices
    assert f"no answer from {hanging}/model within 0.3 s" in notice


def test_a_single_server_is_called_as_it_is(start: Start) -> None:
    servers = start("a")
    servers.fail_next("a", 500)
    with pytest.raises(ServerUnavailable, match="SPY fails"):
        servers.forecast()
    servers.forecast()
    assert servers.calls() == {"a": 2}
    assert servers.scripts["a"].model_calls == 0
    assert servers.notices == []
    assert servers.said == []


@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from([200, 500, 429]), min_size=3, max_size=3),
            st.floats(0, 2 * LONGEST_REST_S),
        ),
        max_size=8,
    )
)
@settings(max_examples=20)
def test_a_call_is_answered_as_long_as_one_server_works(steps: list[tuple[list[int], float]]) -> None:
    """Whatever failed before; and each server is asked once at most."""
    servers = Servers("abc")
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(server_pool, "time", SimpleNamespace(monotonic=lambda: servers.now))
            for statuses, pause_s in steps:
                for script, status in zip(servers.scripts.values(), statuses, strict=True):
                    script.statuses["SPY"] = [] if status == 200 else [status]
                    script.retry_after = {"SPY": "5"} if status == 429 else {}
                if 200 in statuses:
                    servers.forecast()
                else:
                    with pytest.raises(ServerUnavailable):
                        servers.forecast()
                assert set(servers.calls().values()) == {1}
                servers.now += pause_s
    finally:
        servers.close()
