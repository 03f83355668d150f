"""The client against a real socket: what it sends, and what each failure becomes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import msgspec
import numpy as np
import pytest

from inference_server.client import (
    Client,
    PredictionRefused,
    ServerTimeout,
    ServerUnavailable,
    encode_array,
)
from inference_server.forecast.event_arrays import parse_events
from inference_server.schemas import (
    FeatureColumns,
    ModelName,
    PredictAnswer,
    PredictRequest,
    PriceProbability,
    Probabilities,
    ProbabilityRequest,
    Problem,
    Statistics,
)

ASKED = PredictRequest(symbol="SPY")
ANSWER = PredictAnswer(
    symbol="SPY",
    timeframe="1d",
    as_of=datetime(2024, 6, 28, tzinfo=UTC),
    timestamps=[],
    p10=[1.5],
    p50=[2.5],
    p90=[3.5],
    mean=FeatureColumns(open=[], high=[], low=[], close=[], volume=[], amount=[]),
    seed=2**63 - 1,
    sample_count=1,
    lookback_used=40,
    model=ModelName(name="tiny", version="1"),
    events_used=False,
    warnings=[],
)


class Scripted(BaseHTTPRequestHandler):
    """Answers every call with one scripted answer and remembers what it was sent."""

    answer: ClassVar[tuple[int, dict[str, str], bytes]]
    seen: ClassVar[list[tuple[str, dict[str, str], bytes]]]
    url: ClassVar[str]

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen.append((self.path, dict(self.headers), sent))
        status, headers, content = self.answer
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST

    def log_message(self, *args: object) -> None:
        """Keep the test's output clean."""


@contextmanager
def answering(status: int, content: bytes, headers: dict[str, str] | None = None) -> Iterator[type[Scripted]]:
    class Handler(Scripted):
        answer = (status, headers or {}, content)
        seen: ClassVar[list[tuple[str, dict[str, str], bytes]]] = []

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    Handler.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield Handler
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_request_and_its_answer_survive_the_journey() -> None:
    with (
        answering(200, msgspec.json.encode(ANSWER)) as server,
        Client(server.url, request_id="run-7", api_key="secret") as client,
    ):
        answer = client.predict(msgspec.structs.replace(ASKED, seed=5))
    assert msgspec.json.encode(answer) == msgspec.json.encode(ANSWER)
    path, headers, sent = server.seen[0]
    assert path == "/predict"
    assert (headers["X-Request-ID"], headers["Authorization"]) == ("run-7", "Bearer secret")
    assert msgspec.json.decode(sent, type=PredictRequest) == PredictRequest(symbol="SPY", seed=5)


@pytest.mark.parametrize(
    ("headers", "times"),
    [
        ({"X-Queue-Ms": "1.5", "X-Inference-Ms": "250.0"}, (1.5, 250.0)),
        ({"X-Queue-Ms": "soon"}, (None, None)),
        ({}, (None, None)),
    ],
)
def test_a_timed_answer_has_the_times_of_its_headers(
    headers: dict[str, str], times: tuple[float | None, float | None]
) -> None:
    with answering(200, msgspec.json.encode(ANSWER), headers) as server, Client(server.url) as client:
        answer = client.predict_timed(ASKED)
    assert (answer.queue_ms, answer.model_ms) == times
    assert {**msgspec.structs.asdict(answer), "queue_ms": 0, "model_ms": 0} == {
        **msgspec.structs.asdict(ANSWER),
        "queue_ms": 0,
        "model_ms": 0,
    }


def test_statistics_are_typed_and_false_where_an_older_server_gives_none() -> None:
    statistics = Statistics(
        paths=20,
        calibrated=False,
        last_close=500.0,
        probabilities=Probabilities(up=[0.5], touch=[PriceProbability(price=510.0, probability=[0.25])]),
    )
    made = msgspec.structs.replace(ANSWER, statistics=statistics)
    asked = PredictRequest(symbol="SPY", probabilities=ProbabilityRequest(touch=[510.0]))
    with answering(200, msgspec.json.encode(made)) as server, Client(server.url) as client:
        assert client.predict(asked).statistics == statistics
        assert msgspec.json.decode(server.seen[0][2])["probabilities"] == {"touch": [510.0]}
    with answering(200, msgspec.json.encode(ANSWER)) as server, Client(server.url) as client:
        assert not client.predict(asked).statistics


def test_events_travel_as_base64_and_arrive_whole() -> None:
    events = np.random.default_rng(0).normal(size=(43, 20))
    with answering(200, msgspec.json.encode(ANSWER)) as server, Client(server.url) as client:
        client.predict(ASKED, events=np.asfortranarray(events))
    arrived = msgspec.json.decode(server.seen[0][2], type=PredictRequest).events
    assert arrived is not None
    np.testing.assert_array_equal(parse_events(arrived, 40, 3), events.astype(np.float32))
    assert ASKED.events is None


def test_other_dimensions_are_refused_before_they_travel() -> None:
    with pytest.raises(ValueError, match=r"shape \(20,\) given; expected two"):
        encode_array(np.zeros(20))


def test_a_refusal_carries_the_servers_problem() -> None:
    problem = Problem(title="Too few candles", status=422, detail="SPY has 3", given=3)
    with (
        answering(422, msgspec.json.encode(problem)) as server,
        Client(server.url) as client,
        pytest.raises(PredictionRefused, match=r"Too few candles \(422\): SPY has 3") as refused,
    ):
        client.predict(ASKED)
    assert refused.value.problem == problem


@pytest.mark.parametrize(
    ("status", "headers", "retry_after_s"),
    [
        (503, {"Retry-After": "2"}, 2.0),
        (503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        (429, {"Retry-After": "nan"}, None),
        (429, {"Retry-After": "-1"}, None),
        (500, {}, None),
        (429, {"Retry-After": "soon"}, None),
        (504, {}, None),
        (408, {}, None),
    ],
)
def test_what_may_be_tried_again(status: int, headers: dict[str, str], retry_after_s: float | None) -> None:
    with answering(status, b"<html>busy</html>", headers) as server, Client(server.url) as client:
        with pytest.raises(ServerUnavailable, match="busy") as failed:
            client.predict(ASKED)
        assert not client.ready()
    assert (failed.value.status, failed.value.retry_after_s) == (status, retry_after_s)
    assert isinstance(failed.value, ServerTimeout) == (status == 504)


@pytest.mark.parametrize("content", [b"hello", b"{}", b"\xff"])
def test_a_stranger_on_the_port_is_no_inference_server(content: bytes) -> None:
    with answering(200, content) as server, Client(server.url) as client:
        with pytest.raises(ServerUnavailable, match="not a PredictAnswer"):
            client.predict(ASKED)
        with pytest.raises(ServerUnavailable, match="not a ModelInfo"):
            client.model()


def test_nobody_on_the_port() -> None:
    with answering(200, b"") as server:
        url = server.url
    with Client(url) as client:
        assert not client.ready()
        with pytest.raises(ServerUnavailable, match=f"no answer from {url}/predict"):
            client.predict(ASKED)


def test_a_server_that_does_not_answer_in_time() -> None:
    with answering(200, b"") as server, Client(server.url, timeout_s=0.2) as client:
        release = threading.Event()

        def hang(self: Scripted) -> None:
            release.wait(10)

        server.do_POST = hang  # type: ignore[method-assign]
        with pytest.raises(ServerTimeout, match=r"/predict within 0\.2 s: .* hangs"):
            client.predict(ASKED)
        release.set()


@pytest.mark.parametrize(("timeout_s", "deadline_s"), [(600, 540), (0.5, 0.45), (10**9, 86400)])
def test_the_server_is_given_less_time_than_the_client_waits(timeout_s: float, deadline_s: float) -> None:
    with (
        answering(200, msgspec.json.encode(ANSWER)) as server,
        Client(server.url, timeout_s=timeout_s) as client,
    ):
        client.predict(ASKED)
    assert float(server.seen[0][1]["X-Request-Timeout"]) == pytest.approx(deadline_s)
    assert deadline_s < timeout_s


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"])
def test_no_proxy_sees_a_call_to_this_machine(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    with (
        answering(502, b"the proxy was asked") as proxy,
        answering(200, msgspec.json.encode(ANSWER)) as server,
    ):
        monkeypatch.setenv(variable, proxy.url)
        with Client(server.url.replace("127.0.0.1", "localhost"), api_key="secret") as client:
            client.predict(ASKED)
        with Client("http://models.invalid") as client, pytest.raises(ServerUnavailable, match="the proxy"):
            client.predict(ASKED)
    assert [path for path, _, _ in proxy.seen] == ["http://models.invalid/predict"]
    assert [path for path, _, _ in server.seen] == ["/predict"]


def test_an_address_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="has no scheme"):
        Client("localhost:8200")


def test_ready_is_what_the_server_says() -> None:
    with answering(200, b'{"status":"ready"}') as server, Client(server.url) as client:
        assert client.ready()
    assert server.seen[0][0] == "/health/ready"
