"""Around every request: its id in answer and log, its count, and bodies that come slowly or without end."""

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from litestar import Litestar, Request, Response, get, post
from litestar.testing import TestClient

from inference_server.http.middleware import Observed
from inference_server.http.problems import headers_of, problem_of
from inference_server.logs import request_id
from inference_server.metrics import Metrics
from tests.inference_server.test_metrics import figures

LARGEST = 10_000
TIMEOUT_S = 0.3


@get("/id")
async def own_id() -> str | None:
    return request_id.get()


@get("/symbols/{symbol:str}")
async def of_symbol(symbol: str) -> str:
    return symbol


@post("/body")
async def body(data: bytes) -> int:
    return len(data)


@post("/gone")
async def gone(request: Request[Any, Any, Any]) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def observed(metrics: Metrics) -> Litestar:
    def answer(request: Request[Any, Any, Any], error: Exception) -> Response[str]:
        problem = problem_of(error)
        return Response(problem.title, status_code=problem.status, headers=headers_of(error))

    app = Litestar(
        [own_id, of_symbol, body, gone],
        request_max_body_size=LARGEST,
        exception_handlers={Exception: answer},
        openapi_config=None,
        logging_config=None,
    )
    app.asgi_handler = Observed(app.asgi_handler, metrics, TIMEOUT_S, LARGEST)
    return app


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def client(metrics: Metrics) -> Iterator[TestClient[Any]]:
    with TestClient(observed(metrics)) as client:
        yield client


@contextmanager
def listening(app: Litestar) -> Iterator[tuple[str, int]]:
    """The application behind a real socket."""
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        port.listen()
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, args=([port],))
        thread.start()
        try:
            yield port.getsockname()
        finally:
            server.should_exit = True
            thread.join()


@pytest.mark.parametrize("name", ["run-7", "0192f0c1-7e2b-7c1a-9d40-3d5f2b0f4b11", "a" * 128, "a.b_c:d/e"])
def test_a_sane_id_is_kept(client: TestClient[Any], name: str) -> None:
    answer = client.get("/id", headers={"X-Request-ID": name})
    assert (answer.text, answer.headers["X-Request-ID"]) == (name, name)


@pytest.mark.parametrize("name", [None, "", "a" * 129, "two words", "a\tb", 'x"}', "ü", "<script>"])
def test_any_other_id_is_replaced(client: TestClient[Any], name: str | None) -> None:
    headers = {} if name is None else {b"X-Request-ID": name.encode("utf-8")}
    answers = [client.get("/id", headers=headers) for _ in range(2)]
    made = [answer.headers["X-Request-ID"] for answer in answers]
    assert [answer.text for answer in answers] == made
    assert made[0] != made[1]
    assert name not in made
    assert all(len(one) == 32 for one in made)


def test_requests_are_counted_by_the_template_of_their_route(
    client: TestClient[Any], metrics: Metrics
) -> None:
    for path in ("/symbols/BTC-USD", "/symbols/SPY", "/nowhere/1", "/nowhere/2", "/id"):
        client.get(path)
    client.post("/id")
    seen = figures(metrics)
    counted = {name[1:]: count for name, count in seen.items() if name[0] == "kronos_requests_total"}
    assert counted == {
        ("200", "/symbols/{symbol}"): 2,
        ("404", "none"): 2,
        ("200", "/id"): 1,
        ("405", "none"): 1,
    }


def test_a_line_tells_of_each_request_but_not_of_probes(
    client: TestClient[Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="inference_server")
    client.get("/nowhere?key=secret", headers={"Authorization": "Bearer secret"})
    (line,) = [one for one in caplog.records if one.name == "inference_server.http.middleware"]
    told = {name: getattr(line, name) for name in ("method", "path", "outcome")}
    assert told == {"method": "GET", "path": "/nowhere", "outcome": "404"}
    assert "secret" not in str(line.__dict__)


def received(line: socket.socket) -> bytes:
    """Everything that comes until the other side closes."""
    parts = []
    while part := line.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_a_slow_body_is_cut_off(metrics: Metrics) -> None:
    with listening(observed(metrics)) as address, socket.create_connection(address, timeout=20) as line:
        line.sendall(b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        answer = received(line)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in answer.lower()
    assert figures(metrics)["kronos_requests_total", "408", "/body"] == 1


def test_an_endless_body_is_answered_and_cut_off(metrics: Metrics) -> None:
    with listening(observed(metrics)) as address, socket.create_connection(address, timeout=20) as line:
        line.sendall(b"POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        sent = 0
        try:
            while sent < 2**26:
                sent += line.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        except OSError:
            pass
        assert sent < 2**26
    assert figures(metrics)["kronos_requests_total", "413", "/body"] == 1


def test_one_who_sends_all_of_a_body_that_is_too_large_reads_why(metrics: Metrics) -> None:
    with listening(observed(metrics)) as address, socket.create_connection(address, timeout=20) as line:
        line.sendall(b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 15000\r\n\r\n" + b"x" * 15_000)
        assert received(line).startswith(b"HTTP/1.1 413")


def test_a_connection_is_kept_where_the_body_was_read(metrics: Metrics) -> None:
    with listening(observed(metrics)) as address, socket.create_connection(address, timeout=20) as line:
        for content in (b"abc", b""):
            head = b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(content)
            line.sendall(head + content)
            assert b"connection: close" not in line.recv(65536).lower()


def test_one_who_leaves_is_counted_as_gone(metrics: Metrics) -> None:
    with listening(observed(metrics)) as address:
        with socket.create_connection(address, timeout=20) as line:
            line.sendall(b"POST /gone HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        give_up = time.monotonic() + 20
        while ("kronos_requests_total", "gone", "/gone") not in figures(metrics):
            assert time.monotonic() < give_up
            time.sleep(0.01)
