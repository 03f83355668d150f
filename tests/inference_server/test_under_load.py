"""A running server under load, over real connections: deadlines, callers that leave, drain, reload, cache."""

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from flows.runtime.local_server import free_port
from inference_server.client import Client, ServerTimeout
from inference_server.schemas import PredictRequest
from tests.helpers.serving import PATIENCE_S, candles
from tests.inference_server.test_main import process

KEY = "an-admin-key-for-tests"
SHORT: dict[str, Any] = {
    "symbol": "BTC-USD",
    "timeframe": "1h",
    "pred_len": 4,
    "candles": candles(),
    "seed": 1,
}
# Every step reads the window again: seconds even in the tiny size, and a deadline's work to stop it.
LONG = {**SHORT, "candles": candles(512), "pred_len": 500, "sample_count": 7}
RUNNING = {**LONG, "pred_len": 60}


class Server:
    def __init__(self, running: subprocess.Popen[str], port: int) -> None:
        self.process = running
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S)

    def until(self, holds: Callable[[], bool]) -> None:
        give_up = time.monotonic() + PATIENCE_S
        while not holds():
            assert self.process.poll() is None
            assert time.monotonic() < give_up
            time.sleep(0.02)

    def ready(self) -> bool:
        try:
            return self.http.get("/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def metric(self, name: str) -> float:
        found = re.search(rf"^{name} (\S+)$", self.http.get("/metrics").text, re.MULTILINE)
        assert found is not None
        return float(found[1])

    def is_idle(self) -> bool:
        return not self.is_running() and self.metric("kronos_queue_jobs") == 0

    def is_running(self) -> bool:
        return self.metric("kronos_cache_used_bytes") > 0

    def predict(self, body: dict[str, Any], **headers: str) -> httpx.Response:
        return self.http.post("/predict", json=body, headers=headers)


@contextmanager
def serving(bundle: Path, folder: Path, **environment: object) -> Iterator[Server]:
    port = free_port()
    with process(folder, KRONOS_BUNDLE=bundle, KRONOS_PORT=port, **environment) as running:
        server = Server(running, port)
        server.until(server.ready)
        yield server


@pytest.fixture(scope="module")
def server(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("load")
    limits = {"KRONOS_QUEUE_LIMIT": 3, "KRONOS_RESULT_CACHE_BYTES": 2**20, "KRONOS_MAX_BATCH_SYMBOLS": 50}
    with serving(tiny_bundle, folder, **limits) as made:
        yield made


def test_an_answer_tells_what_took_how_long(server: Server) -> None:
    answer = server.predict({**SHORT, "seed": None})
    assert float(answer.headers["X-Inference-Ms"]) > 0
    assert float(answer.headers["X-Queue-Ms"]) >= 0
    assert int(answer.headers["X-Batch-Size"]) >= 1


def test_a_deadline_answers_504_and_frees_the_slots(server: Server) -> None:
    refused = server.predict(LONG, **{"X-Request-Timeout": "0.3"})
    assert (refused.status_code, refused.json()["title"]) == (504, "Deadline exceeded")
    server.until(server.is_idle)


def test_a_client_is_answered_before_it_would_hang_up(server: Server) -> None:
    asked = msgspec.convert(LONG | {"sample_count": 64}, PredictRequest)
    with Client(str(server.http.base_url), timeout_s=3.0) as client, pytest.raises(ServerTimeout) as late:
        client.predict(asked)
    assert late.value.status == 504
    assert "was not done within 2.7 s" in str(late.value)
    server.until(server.is_idle)


@pytest.mark.parametrize("value", ["0", "-1", "nan", "soon", "1e9"])
def test_an_odd_deadline_is_refused_by_name(server: Server, value: str) -> None:
    refused = server.predict(SHORT, **{"X-Request-Timeout": value})
    assert refused.status_code == 422
    assert "x-request-timeout" in refused.json()["detail"]


def test_callers_that_leave_free_their_slots(server: Server) -> None:
    def leave(_: int) -> None:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{server.http.base_url}/predict", json=LONG, timeout=httpx.Timeout(5.0, read=0.5))

    with ThreadPoolExecutor(3) as callers:
        list(callers.map(leave, range(3)))
    server.until(server.is_idle)
    assert server.predict(SHORT).status_code == 200


def test_a_full_queue_sends_callers_away_at_once(server: Server) -> None:
    symbols = ["BTC-USD", "ETH-USD", "BTCUSDT", "ETHUSDT", "EURUSD", "GBPUSD", "USDJPY", "XAUUSD"]
    batch = LONG | {"symbols": symbols, "candles": dict.fromkeys(symbols, LONG["candles"])}
    deadline = {"X-Request-Timeout": "3"}
    with ThreadPoolExecutor(1) as caller:
        running = caller.submit(server.http.post, "/predict-batch", json=batch, headers=deadline)
        server.until(lambda: server.metric("kronos_queue_jobs") > 3)
        refused = server.predict({**SHORT, "seed": None})
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) >= 1
        assert running.result().status_code == 504
    server.until(server.is_idle)


def test_a_request_with_a_seed_is_answered_again_without_the_model(server: Server) -> None:
    first = server.predict({**SHORT, "seed": 77, "sample_count": 2})
    steps = server.metric("kronos_step_seconds_count")
    again = server.predict({**SHORT, "seed": 77, "sample_count": 2})
    assert again.json() == first.json()
    assert again.headers["X-Batch-Size"] == "0"
    other = {**SHORT, "seed": 78, "sample_count": 2}
    assert server.metric("kronos_step_seconds_count") == steps
    assert server.predict(other).json()["p50"] != first.json()["p50"]
    assert server.metric("kronos_step_seconds_count") > steps


def test_sigterm_lets_what_runs_finish_while_readiness_goes(tiny_bundle: Path, tmp_path: Path) -> None:
    with serving(tiny_bundle, tmp_path) as server, ThreadPoolExecutor(1) as caller:
        running = caller.submit(server.predict, RUNNING)
        server.until(server.is_running)
        server.process.send_signal(signal.SIGTERM)
        server.until(lambda: server.http.get("/health/ready").status_code == 503)
        assert server.http.get("/health/live").status_code == 200
        refused = server.predict(SHORT)
        assert (refused.status_code, refused.json()["title"]) == (503, "Shutting down")
        assert running.result().status_code == 200
        _, log = server.process.communicate(timeout=PATIENCE_S)
        assert server.process.returncode == 0
        assert "Traceback" not in log


def test_after_the_grace_what_still_runs_is_answered_503(tiny_bundle: Path, tmp_path: Path) -> None:
    with serving(tiny_bundle, tmp_path, KRONOS_GRACE_S=0.3) as server, ThreadPoolExecutor(1) as caller:
        running = caller.submit(server.predict, LONG)
        server.until(server.is_running)
        server.process.send_signal(signal.SIGTERM)
        assert running.result().status_code == 503
        server.process.communicate(timeout=PATIENCE_S)
        assert server.process.returncode == 0


def test_a_reload_swaps_the_bundle_and_a_bad_one_leaves_the_old_serving(
    tiny_bundle: Path, tiny_base_bundle: Path, tmp_path: Path
) -> None:
    served = tmp_path / "served"
    served.symlink_to(tiny_bundle)
    broken = tmp_path / "broken"
    shutil.copytree(tiny_bundle, broken)
    (broken / "decoder.onnx").write_bytes(b"")

    def serve(bundle: Path) -> None:
        (tmp_path / "next").symlink_to(bundle)
        (tmp_path / "next").replace(served)

    with serving(served, tmp_path, KRONOS_ADMIN_KEYS=KEY) as server:
        old = server.http.get("/model").json()["version"]
        admin = {"Authorization": f"Bearer {KEY}"}
        assert server.http.post("/admin/reload").status_code == 401
        serve(tiny_base_bundle)
        with ThreadPoolExecutor(1) as caller:
            running = caller.submit(server.predict, RUNNING)
            server.until(server.is_running)
            swapped = server.http.post("/admin/reload", headers=admin)
            new = json.loads((tiny_base_bundle / "manifest.json").read_text())["version"]
            assert (swapped.status_code, swapped.json()["version"]) == (200, new)
            assert server.predict(SHORT).json()["model"]["version"] == new
            assert running.result().json()["model"]["version"] == old
        serve(broken)
        failed = server.http.post("/admin/reload", headers=admin)
        assert (failed.status_code, failed.json()["title"]) == (409, "Reload failed")
        assert str(tmp_path) not in failed.text
        assert server.predict(SHORT).json()["model"]["version"] == new
