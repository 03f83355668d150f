"""Fixtures of the flow tests: one Prefect server for the session, and a server that fails as told."""

from collections.abc import Iterator

import pytest
from prefect import Task
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from flows.forecasting import tasks as predict_tasks
from flows.runtime import retries
from flows.runtime.settings import RETRY_DELAYS_S
from tests.helpers.prefect_servers import new_prefect_database, temporary_prefect_server
from tests.helpers.stand_in_server import Script, stand_in_server


@pytest.fixture(autouse=True)
def no_database_in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test without a database of its own has none: a run would start one to be recorded in."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A temporary Prefect server; the heartbeat is off because each run waits a second for its thread."""
    with (
        temporary_prefect_server(new_prefect_database(tmp_path_factory)),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        yield


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without the waits between them."""
    for task in vars(predict_tasks).values():
        if isinstance(task, Task) and task.retries:
            monkeypatch.setattr(task, "retry_delay_seconds", [0.0] * task.retries)
    monkeypatch.setattr(retries, "RETRY_DELAYS_S", tuple(0.0 for _ in RETRY_DELAYS_S))


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, no_waits: None) -> Iterator[Script]:
    """What a stand-in for the inference server, where the flows find theirs, is to answer."""
    script = Script()
    with stand_in_server(script) as address:
        monkeypatch.setenv("KRONOS_SERVER", address)
        yield script
