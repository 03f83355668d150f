"""The deploy step on a real Prefect server, and what its automations do there with real runs."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import psutil
import psycopg
import pytest
import yaml
from prefect import State
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.events.schemas.automations import AutomationCore
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Pending, Scheduled

from flows.deploy import ROOT, deploy, main
from flows.deployment import automations
from flows.deployment.installing import install_automations
from flows.deployment.server_settings import SERVER_ENVIRONMENT
from market.instruments import default_instruments
from market.time_grid import past_timestamps
from sql.connect import connect
from sql.loading import load
from tests.helpers.databases import in_database
from tests.helpers.prefect_servers import PATIENCE_S, free_port, prefect_server_process
from tests.helpers.stand_in_server import Script
from tests.helpers.webhooks import Receiver, webhook_receiver

AS_OF = datetime(2024, 12, 18, 12, tzinfo=UTC)
SHORT = {"as_of": AS_OF.isoformat(), "pred_len": 4, "sample_count": 3, "lookback": 40}
FAST = {
    "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "1",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS": "1",
    "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT1S",
    # No worker runs here: runs of the schedules would be late, and reported, at some minutes of an hour.
    "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
}
CRASHES = {each.name for each in automations.crash_automations()}
NOTIFICATIONS = {each.name for each in automations.notifications(uuid4(), None)}
SHORTEST = timedelta(seconds=10)  # that Prefect allows for the absence of an event


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with webhook_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def prefect_database(postgres_url: str) -> str:
    """URL of a database for Prefect, whose SQLite file is locked at times: it then calls webhooks twice."""
    with connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE prefect")
    url = in_database(postgres_url, "prefect")
    with connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION pg_trgm")
    return url.replace("postgresql://", "postgresql+asyncpg://", 1)


@pytest.fixture(scope="module")
def installed(
    tmp_path_factory: pytest.TempPathFactory, receiver: Receiver, prefect_database: str
) -> Iterator[list[str]]:
    """A server with everything installed, and the sentences of the steps."""
    steps: list[str] = []
    settings = {**FAST, **SERVER_ENVIRONMENT, "PREFECT_SERVER_DATABASE_CONNECTION_URL": prefect_database}
    folder = tmp_path_factory.mktemp("prefect")
    with pytest.MonkeyPatch.context() as patch, prefect_server_process(folder, **settings) as api_url:
        patch.setenv("KRONOS_NOTIFY_URL", receiver.url)
        patch.setattr(automations, "OVERDUE", SHORTEST)
        with temporary_settings({PREFECT_API_URL: api_url}):
            deploy(steps.append)
            yield steps


@pytest.fixture
def client(installed: list[str]) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def market(database: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Three active symbols with 50 hourly and daily candles each; those of one ended two weeks ago."""
    end = np.datetime64(AS_OF.replace(tzinfo=None), "us")
    for symbol in ("BTC-USD", "ETH-USD", "SPY"):
        instrument = default_instruments()[symbol]
        database.execute(load("upsert_instruments"), {**vars(instrument), "active": True})
        for timeframe in ("1h", "1d"):
            times = past_timestamps(instrument, timeframe, end, 50) - np.timedelta64(
                14 * (symbol == "SPY"), "D"
            )
            with database.cursor() as cursor:
                cursor.executemany(
                    f"INSERT INTO ohlcv_{timeframe} (symbol, ts, open, high, low, close, volume) "
                    "VALUES (%s, %s, 100, 200, 50, %s, 1)",
                    [(symbol, time.item().replace(tzinfo=UTC), 100.0 + i) for i, time in enumerate(times)],
                )
    return database


def create_run(client: SyncPrefectClient, deployment: str, **settings: Any) -> UUID:
    found = client.read_deployment_by_name(deployment)
    return client.create_flow_run_from_deployment(found.id, **settings).id


def propose_pending(client: SyncPrefectClient, run: UUID) -> State[Any]:
    """Take a run as a worker does, which occupies a slot of its deployment, and return its new state."""
    state: State[Any] | None = client.set_flow_run_state(run, Pending()).state
    assert state is not None
    return state


def execute(client: SyncPrefectClient, run: UUID) -> "subprocess.Popen[bytes]":
    """Take a run and execute it in a process of its own, as a worker does."""
    assert propose_pending(client, run).is_pending()
    environment = {
        **os.environ,
        "PROJECT_ROOT": str(ROOT),
        "PYTHONPATH": str(ROOT),
        "PREFECT_API_URL": str(PREFECT_API_URL.value()),
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(automations.HEARTBEAT_S),
    }
    command = [sys.executable, "-m", "prefect", "flow-run", "execute", str(run)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, start_new_session=True)


def kill_with_descendants(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process and those that it started; Prefect gives the flow a session of its own."""
    for descendant in psutil.Process(process.pid).children(recursive=True):
        descendant.kill()
    process.kill()
    process.communicate()


def shorten(client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch, wait: str) -> None:
    """Let the server wait 10 s for a dead run where it waits minutes."""
    monkeypatch.setattr(automations, wait, SHORTEST)
    assert len(install_automations(client, automations.crash_automations())) == 1


def wait_for(what: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < give_up
        time.sleep(0.2)


def state_of(client: SyncPrefectClient, run: UUID) -> str | None:
    found: FlowRun = client.read_flow_run(run)
    return found.state_name


def test_installs_everything(installed: list[str], client: SyncPrefectClient) -> None:
    assert installed[0] == "work pool local: created"
    assert installed[-1].startswith("automations: kronos: mark a run as crashed whose heartbeats stopped, ")
    content = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    names = installed[1].removeprefix("deployments: ").split(", ")
    assert [name.partition("/")[2] for name in names] == [each["name"] for each in content["deployments"]]
    assert names[0] == "predict-batch/predict-1h"
    assert client.read_work_pool("local").type == "process"
    deployment = client.read_deployment_by_name("predict-batch/predict-1h")
    assert deployment.tags == ["kronos", "predict", "1h"]
    assert deployment.enforce_parameter_schema
    assert deployment.job_variables == {"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}}
    assert deployment.global_concurrency_limit is not None
    assert deployment.global_concurrency_limit.limit == 1
    assert {each.name for each in client.read_automations()} == CRASHES | NOTIFICATIONS


def test_dead_runs_are_crashed_and_an_operator_is_notified_once(
    client: SyncPrefectClient,
    receiver: Receiver,
    market: psycopg.Connection[Any],
    script: Script,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    overdue: State[Any] = Scheduled(scheduled_time=datetime.now(UTC) - timedelta(hours=1))
    late = create_run(client, "score-forecasts/score-1h", state=overdue)

    script.statuses["ETH-USD"] = [422]
    hourly = create_run(client, "predict-batch/predict-1h", parameters={"timeframe": "1h", **SHORT})
    _, log = execute(client, hourly).communicate()
    assert state_of(client, hourly) == "PartiallyFailed", log.decode()

    shorten(client, monkeypatch, "SILENCE")
    script.slow_s["BTC-USD"] = 300.0
    daily = create_run(client, "predict-batch/predict-1d", parameters={"timeframe": "1d", **SHORT})
    process = execute(client, daily)
    wait_for(lambda: script.calls["BTC-USD"] == 2)
    kill_with_descendants(process)

    shorten(client, monkeypatch, "START")
    never_began = create_run(client, "score-forecasts/score-1d")
    assert propose_pending(client, never_began).is_pending()
    refused = propose_pending(client, create_run(client, "score-forecasts/score-1d"))
    assert (refused.name, refused.message) == ("Cancelled", "Deployment concurrency limit reached.")
    wait_for(lambda: state_of(client, daily) == state_of(client, never_began) == "Crashed")
    for deployment in ("predict-batch/predict-1d", "score-forecasts/score-1d"):
        next_run = create_run(client, deployment)
        assert propose_pending(client, next_run).is_pending()
        client.set_flow_run_state(next_run, Cancelled())

    wait_for(lambda: len(receiver.texts) >= 6)
    time.sleep(2.0)  # for a text that would arrive twice
    found = {text.partition("\n")[0]: text for text in receiver.texts}
    assert sorted(text.partition("\n")[0] for text in receiver.texts) == [
        "predict-1d: Crashed",
        "predict-1h: PartiallyFailed",
        "predict-1h: STALE",
        "predict-1h: WITHOUT EVENTS",
        "score-1d: Crashed",
        "score-1h: Late",
    ]
    links = {
        "predict-1d: Crashed": daily,
        "predict-1h: PartiallyFailed": hourly,
        "predict-1h: STALE": hourly,
        "predict-1h: WITHOUT EVENTS": hourly,
        "score-1d: Crashed": never_began,
        "score-1h: Late": late,
    }
    ui_url = str(PREFECT_API_URL.value()).removesuffix("/api")
    for subject, run in links.items():
        assert found[subject].endswith(f"\n{ui_url}/runs/flow-run/{run}"), found[subject]
    assert "ETH-USD: PredictionRefused" in found["predict-1h: PartiallyFailed"]
    assert "STALE: SPY: not forecast" in found["predict-1h: STALE"]
    assert "BTC-USD: " in found["predict-1h: WITHOUT EVENTS"]


def test_a_second_deploy_keeps_what_an_operator_changed(client: SyncPrefectClient) -> None:
    install_automations(client, automations.crash_automations())  # as deployed, whatever was shortened
    before = {each.name: each for each in client.read_automations()}
    renamed = before.pop("kronos: notify late")
    content = {**renamed.model_dump(exclude={"id", "owner_resource"}), "name": "late, to my phone"}
    client.update_automation(renamed.id, AutomationCore(**content))
    disabled = before.pop("kronos: notify stale")
    client.pause_automation(disabled.id)
    deployment = client.read_deployment_by_name("predict-batch/predict-1h")
    (schedule,) = deployment.schedules
    client.update_deployment_schedule(deployment.id, schedule.id, active=False)

    steps: list[str] = []
    deploy(steps.append)
    assert steps[0] == "work pool local: exists"
    assert steps[-1] == "automations: kronos: notify late"
    after = {each.name: each for each in client.read_automations()}
    assert {name: after[name] for name in before} == before
    assert after["late, to my phone"].id == renamed.id
    assert not after["kronos: notify stale"].enabled
    assert len(after) == 9
    (schedule,) = client.read_deployment_by_name("predict-batch/predict-1h").schedules
    assert not schedule.active


def test_notifications_stay_without_the_setting_and_go_with_none(
    client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.deploy._deploy_all", lambda: ["predict-batch/predict-1h"])
    monkeypatch.delenv("KRONOS_NOTIFY_URL")
    deploy(lambda _: None)
    assert sum("kronos: notify" in each.name for each in client.read_automations()) == 6
    monkeypatch.setenv("KRONOS_NOTIFY_URL", "none")
    steps: list[str] = []
    deploy(steps.append)
    assert f"notifications: {len(NOTIFICATIONS)} removed" in steps
    left = {each.name for each in client.read_automations()}
    assert left - {"late, to my phone"} == CRASHES


@pytest.mark.parametrize("url", ["hooks.example.com/x", "ftp://hooks.example.com", "http://", "http://[x"])
def test_a_webhook_that_is_none_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    monkeypatch.setenv("KRONOS_NOTIFY_URL", url)
    assert main([]) == 1
    printed = capsys.readouterr().err
    assert "python -m flows.deploy: KRONOS_NOTIFY_URL is not the address of a webhook" in printed
    assert url not in printed


def test_a_server_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    address = f"http://127.0.0.1:{free_port()}/api"
    with temporary_settings({PREFECT_API_URL: address}):
        assert main([], prog="kronos deploy") == 1
    assert f"kronos deploy: the Prefect API at {address} does not answer: " in capsys.readouterr().err


def test_no_server_configured_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        assert main([]) == 1
    assert "PREFECT_API_URL is not set; start a server" in capsys.readouterr().err
