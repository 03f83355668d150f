"""Everything on one machine: up, a forecast, each process killed, status, down, and nothing left."""

import os
import shutil
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from flows import down, status, up
from flows.supervision.folder import UpFolder
from flows.supervision.health import machine_health
from flows.supervision.secrets import read_secrets
from flows.supervision.settings import saved_running
from flows.supervision.supervisor import Supervisor
from flows.supervision.take_down import take_down
from sql.embedded import pid_file
from sql.embedded import server as embedded
from tests.helpers.database_folders import database_folder
from tests.helpers.prefect_servers import new_prefect_database
from tests.market_data import ROOT

PATIENCE_S = 240.0
NAMES = ["database", "prefect", "server", "worker", "generated-market"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


@pytest.fixture
def folder(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[UpFolder]:
    """The folder of a machine that uses free ports and the tiny model; what runs is ended after the test."""
    with database_folder("test-up") as parent:
        monkeypatch.chdir(parent)
        for variable in ("DATABASE_URL", "KRONOS_DATA_DIR", "KRONOS_SERVER", "KRONOS_SERVERS", "KRONOS_HOST"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        monkeypatch.setenv("KRONOS_BUNDLE", str(tiny_bundle))
        monkeypatch.setenv("KRONOS_PORT", str(free_port()))
        monkeypatch.setenv("KRONOS_PREFECT_PORT", str(free_port()))
        monkeypatch.setenv("PREFECT_WORKER_QUERY_SECONDS", "1")
        found = UpFolder.here()
        try:
            yield found
        finally:
            take_down(found, lambda sentence: None)


def wait_for(condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.2)


def pids(supervisor: Supervisor) -> dict[str, int | None]:
    return {name: state.pid for name, state in supervisor.states().items()}


def forecasts() -> int:
    url = embedded.running()
    assert url is not None
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM ml_predictions").fetchone()
    assert row is not None
    return int(row[0])


def states_of_runs(folder: UpFolder) -> set[str]:
    (file,) = folder.prefect.glob("*.db")
    with sqlite3.connect(file) as connection:
        rows = connection.execute("SELECT state_type FROM flow_run WHERE state_type != 'SCHEDULED'")
        return {state for (state,) in rows}


def kill_everything(supervisor: Supervisor) -> None:
    postmaster = pid_file.postmaster((embedded.data_folder() / "data").resolve())
    for pid in [*pids(supervisor).values(), postmaster]:
        assert pid is not None
        os.kill(pid, 9)


def all_ready(folder: UpFolder) -> bool:
    settings = saved_running(folder)
    assert settings is not None
    health = machine_health(folder, settings)
    return health.deployments is not None and all(
        item.process is not None and item.process.state == "RUNNING" and item.ready is not False
        for item in health.programs
    )


def listening(supervisor: Supervisor) -> list[str]:
    """The addresses, other than loopback's, that the processes of the folder listen on."""
    return [
        f"{process.name()} {each.laddr}"
        for process in supervisor.processes()
        for each in process.net_connections("inet")
        if each.status == psutil.CONN_LISTEN and each.laddr[0] not in ("127.0.0.1", "::1")
    ]


def test_a_machine_goes_up_survives_kills_and_goes_down(
    folder: UpFolder, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.make()
    shutil.copy(new_prefect_database(tmp_path_factory), folder.prefect)
    supervisor = Supervisor(folder)
    assert up.main([]) == 0, capsys.readouterr().out
    printed = capsys.readouterr().out
    assert "The market is GENERATED" in printed
    assert f"the page          http://127.0.0.1:{os.environ['KRONOS_PORT']}/" in printed
    assert f"the Prefect UI    http://127.0.0.1:{os.environ['KRONOS_PREFECT_PORT']}/" in printed
    assert list(supervisor.states()) == sorted(NAMES)
    wait_for(forecasts)
    assert listening(supervisor) == []
    password = read_secrets(folder)["PREFECT_API_AUTH_STRING"]
    assert password not in printed
    assert not [
        word for process in psutil.process_iter() for word in command_line(process) if password in word
    ]
    assert not [log for log in folder.logs.iterdir() if password in log.read_text(errors="replace")]

    before = pids(supervisor)
    kill_everything(supervisor)
    assert status.main([]) == 1
    assert "PROBLEM: " in capsys.readouterr().out
    wait_for(lambda: all_ready(folder))
    status.main([])  # the run that was killed may count as a problem
    shown = capsys.readouterr().out
    assert "predict-batch/predict-1h" in shown
    assert [line for line in shown.splitlines() if "PROBLEM" in line and "the last run of" not in line] == []
    after = pids(supervisor)
    assert not {name for name in NAMES if after[name] in (None, before[name])}
    assert forecasts() > 0

    supervisor.stop_program("worker")
    assert up.main([]) == 0
    printed = capsys.readouterr().out
    assert "started worker again" in printed
    assert "already up" in printed
    unchanged = pids(supervisor)
    assert [name for name in NAMES if unchanged[name] != after[name]] == ["worker"]

    market = unchanged["generated-market"]
    assert market is not None
    os.kill(market, 19)  # a stopped process does not act on SIGTERM
    assert down.main([]) == 0
    assert "everything is stopped" in capsys.readouterr().out
    assert supervisor.processes() == []
    assert embedded.running() is None
    assert "RUNNING" not in states_of_runs(folder)
    assert "PENDING" not in states_of_runs(folder)
    assert status.main([]) == 1
    assert "database is not running" in capsys.readouterr().out
    assert down.main([]) == 0
    assert "nothing is running" in capsys.readouterr().out


def command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"KRONOS_PORT": "0"}, "error: KRONOS_PORT is '0'; expected a whole number, 1 … 65535"),
        ({"KRONOS_MIN_FREE_MB": "many"}, "error: KRONOS_MIN_FREE_MB is 'many'"),
        (
            {"DATABASE_URL": "postgresql://me:secret@127.0.0.1:1/db"},
            "error: can't connect to me@127.0.0.1:1/db",
        ),
    ],
)
def test_what_cannot_be_started_is_one_message_and_leaves_nothing(
    folder: UpFolder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variables: dict[str, str],
    message: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert up.main([]) == 1
    printed = capsys.readouterr().out
    assert message in printed
    assert "secret" not in printed
    assert Supervisor(folder).processes() == []


@pytest.mark.parametrize("variable", ["KRONOS_PORT", "KRONOS_PREFECT_PORT"])
def test_a_port_that_is_taken_is_named_with_its_setting(
    folder: UpFolder, capsys: pytest.CaptureFixture[str], variable: str
) -> None:
    with socket.create_server(("127.0.0.1", int(os.environ[variable]))):
        assert up.main([]) == 1
    assert f"set {variable} to another one" in capsys.readouterr().out
    assert not embedded.data_folder().exists()


def test_a_folder_without_files_is_refused_and_the_database_is_stopped(
    folder: UpFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert up.main(["--data", str(tmp_path)]) == 1
    assert (
        f"error: {tmp_path} has none of candles_1h, candles_1d, economic_calendar" in capsys.readouterr().out
    )
    assert embedded.running() is None


@pytest.mark.parametrize(("command", "code"), [(status, 1), (down, 0)])
def test_where_nothing_was_ever_started(
    command: Any,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command.main([]) == code
    assert "nothing " in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
