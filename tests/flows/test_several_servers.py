"""Several real inference servers behind one list: one is killed, one comes back, one has another bundle."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.chaos.installation import Program, inference_server
from flows.generated.market import CHARACTERS, END, generate_market
from flows.load import load_calendar, load_candles
from flows.predict import predict_batch
from flows.runtime.local_server import free_port
from flows.runtime.server_pool import ServerPool
from inference_server.client import Client
from inference_server.schemas import PredictRequest
from sql.connect import connect
from tests.helpers.predict_runs import artifact

RUN: dict[str, Any] = {"timeframe": "1h", "as_of": END, "pred_len": 60, "sample_count": 8}

pytestmark = pytest.mark.usefixtures("prefect_server")


class Servers:
    """Real servers by name, which the test kills and starts again."""

    def __init__(self, folder: Path, stop: ExitStack) -> None:
        self._folder, self._stop = folder, stop
        self._programs: dict[str, Program] = {}
        self._ports: dict[str, int] = {}

    def start(self, **bundles: Path) -> None:
        for name, bundle in bundles.items():
            port = self._ports.setdefault(name, free_port())
            program = inference_server(bundle, port, dict(os.environ), self._folder / f"{name}.log")
            self._programs[name] = program
            program.start()
            self._stop.callback(program.kill)
        for name in bundles:
            self._programs[name].wait_until_ready()

    def kill(self, name: str) -> None:
        self._programs[name].kill()

    def address(self, name: str) -> str:
        return f"http://127.0.0.1:{self._ports[name]}"

    def forecasts(self, name: str) -> float:
        """Number of forecasts that a server has answered since it was started."""
        text = httpx.get(f"{self.address(name)}/metrics", timeout=30).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "kronos_requests_total"
            and sample.labels["outcome"] == "200"
            and sample.labels["route"] == "/predict"
        )


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    with ExitStack() as stop:
        yield Servers(tmp_path, stop)


@pytest.fixture
def market(database: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    market = generate_market(days=60, hours=500)
    load_candles(database, market.candles_1h, "1h")
    load_calendar(database, market.calendar)
    return database


def when(condition: Callable[[], bool], action: Callable[[], None]) -> threading.Thread:
    """Do something as soon as a condition holds."""

    def wait() -> None:
        while not condition():
            time.sleep(0.01)
        action()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_one_of_two_is_killed_and_another_has_another_bundle(
    market: psycopg.Connection[Any],
    database_url: str,
    tiny_bundle: Path,
    tiny_base_bundle: Path,
    servers: Servers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    servers.start(a=tiny_bundle, b=tiny_bundle, other=tiny_base_bundle)
    addresses = [servers.address(name) for name in ("a", "other", "b")]
    monkeypatch.setenv("KRONOS_SERVERS", ",".join(addresses))
    monkeypatch.delenv("KRONOS_SERVER", raising=False)
    with connect(database_url, autocommit=True) as watching:

        def any_row() -> bool:
            return watching.execute("SELECT FROM ml_predictions LIMIT 1").fetchone() is not None

        killing = when(any_row, lambda: servers.kill("a"))
        state = predict_batch(**RUN, return_state=True)
        killing.join()
    assert state.is_completed(), state.message
    rows = market.execute("SELECT symbol, model_version FROM ml_predictions ORDER BY symbol").fetchall()
    assert [symbol for symbol, _ in rows] == sorted(CHARACTERS)
    assert len({version for _, version in rows}) == 1
    assert servers.forecasts("other") == 0
    assert servers.forecasts("b") > 0
    description, _ = artifact()
    assert f"server-left-out: SERVER LEFT OUT: {servers.address('other')}: it holds " in description
    assert f"server-unavailable: SERVER UNAVAILABLE: {servers.address('a')}: " in description


def test_a_server_that_is_started_again_is_used_again(
    market: psycopg.Connection[Any], tiny_bundle: Path, servers: Servers
) -> None:
    servers.start(a=tiny_bundle, b=tiny_bundle)
    request = PredictRequest(symbol="BTC-USD", timeframe="1h", pred_len=2, as_of=END.isoformat())
    clients = {servers.address(name): Client(servers.address(name)) for name in ("a", "b")}
    said: list[str] = []
    with ServerPool(clients, clients[servers.address("a")].model(), said.append, said.append) as pool:

        def forecast(times: int) -> None:
            for _ in range(times):
                pool.call(lambda client: client.predict(request), 60.0)

        forecast(2)
        assert servers.forecasts("a") == servers.forecasts("b") == 1
        servers.kill("a")
        forecast(3)
        assert servers.forecasts("b") == 4
        servers.start(a=tiny_bundle)
        time.sleep(1.0)  # how long a server is avoided after its first failure
        forecast(4)
        assert servers.forecasts("a") == 2
        assert servers.forecasts("b") == 6
    unavailable, back = said
    assert unavailable.startswith(f"server-unavailable: SERVER UNAVAILABLE: {servers.address('a')}")
    assert back == f"{servers.address('a')} answers again, and is used again"
