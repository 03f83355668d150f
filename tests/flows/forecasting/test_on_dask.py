"""A run whose blocks are forecast by a Dask cluster: a lost worker and a lost flow, with real processes."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from prefect.flows import load_flow_from_entrypoint
from prefect.settings import PREFECT_API_URL

from market.instruments import default_instruments
from sql.loading import load
from tests.flows.test_deployments import DEPLOYMENTS, ROOT
from tests.helpers.predict_runs import AS_OF, add_candles
from tests.helpers.stand_in_server import Script

distributed = pytest.importorskip("distributed")

pytestmark = pytest.mark.usefixtures("prefect_server")

SYMBOLS = ["BTC-USD", *(f"COIN-{number}" for number in range(59))]
PATIENCE_S = 600.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A scheduler and two workers, each a process of its own."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster


def set_variables(variables: dict[str, str]) -> None:
    """Called in each worker; the environment itself can't be pickled."""
    os.environ.update(variables)


@pytest.fixture
def workers(
    cluster: Any, database_url: str, script: Script, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """A client of the cluster, whose workers have the variables of this test."""
    variables = {name: os.environ[name] for name in ("DATABASE_URL", "KRONOS_SERVER")}
    monkeypatch.setenv("KRONOS_DASK_ADDRESS", cluster.scheduler_address)
    with distributed.Client(cluster) as client:
        client.wait_for_workers(2, timeout=PATIENCE_S)
        client.run(set_variables, variables)
        yield client


@pytest.fixture
def market(database: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """60 active instruments with the same 50 hourly candles."""
    add_candles(database, "BTC-USD", 50)
    with database.cursor() as cursor:
        like = vars(default_instruments()["BTC-USD"]) | {"active": True}
        cursor.executemany(load("upsert_instruments"), [like | {"symbol": symbol} for symbol in SYMBOLS])
        cursor.execute(
            "INSERT INTO ohlcv_1h SELECT symbol, ts, open, high, low, close, volume, amount "
            "FROM (SELECT * FROM ohlcv_1h) AS candles (of, ts, open, high, low, close, volume, amount), "
            "unnest(%s::text[]) AS others (symbol)",
            (SYMBOLS[1:],),
        )
    return database


def stored(database: psycopg.Connection[Any]) -> list[str]:
    rows = database.execute("SELECT symbol FROM ml_predictions").fetchall()
    return sorted(symbol for (symbol,) in rows)


def wait_until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def test_a_block_of_a_killed_worker_is_forecast_by_another_one(
    market: psycopg.Connection[Any], workers: Any, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.slow_s = dict.fromkeys(SYMBOLS, 0.2)
    victim = next(iter(workers.run(os.getpid).values()))

    killed_after: list[int] = []

    def kill() -> None:
        wait_until(lambda: len(stored(market)) >= 8)
        os.kill(victim, signal.SIGKILL)
        killed_after.append(len(stored(market)))

    killing = threading.Thread(target=kill)
    killing.start()
    with (
        monkeypatch.context() as patch
    ):  # Prefect puts the file's folder in front, and new workers inherit it
        patch.setattr(sys, "path", [*sys.path])
        deployed: Any = load_flow_from_entrypoint(str(ROOT / DEPLOYMENTS["predict-1h"]["entrypoint"]))
    state = deployed(timeframe="1h", as_of=AS_OF, return_state=True)
    killing.join()
    assert state.is_completed(), state.message
    assert killed_after
    assert killed_after[0] < len(SYMBOLS)
    assert stored(market) == sorted(SYMBOLS)
    outcomes: Any = state.result()
    assert [outcome.symbol for outcome in outcomes] == sorted(SYMBOLS)
    assert len(script.requests) < 2 * len(SYMBOLS)  # what was stored before is not requested again


def test_blocks_end_with_the_process_of_their_flow(
    market: psycopg.Connection[Any], workers: Any, script: Script
) -> None:
    script.slow_s = dict.fromkeys(SYMBOLS, 0.3)
    command = [sys.executable, "-m", "flows.predict", "--timeframe", "1h", "--as-of", "2024-12-18T12:00Z"]
    environment = {**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value())}
    flow = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    wait_until(lambda: len(script.requests) > 8 or flow.poll() is not None)
    flow.kill()
    _, log = flow.communicate()
    assert len(script.requests) > 8, log.decode()

    def are_idle() -> bool:
        before = len(script.requests)
        time.sleep(1.5)
        return len(script.requests) == before

    wait_until(are_idle)
    assert len(script.requests) < 50  # two blocks of 25 would have gone on to their ends
    assert stored(market) == sorted({request.symbol for request in script.requests})
