"""A real supervisord with small programs: what dies comes back, and nothing is left behind."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from flows.supervision.configuration import configuration
from flows.supervision.errors import UpError
from flows.supervision.folder import UpFolder
from flows.supervision.programs import Program
from flows.supervision.readiness import wait_until_ready
from flows.supervision.supervisor import Supervisor, end_processes

PATIENCE_S = 60.0
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); "
    "time.sleep(600)"
)
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
PROGRAMS = [
    Program("stubborn", (sys.executable, "-c", STUBBORN), 1),
    Program("parent", (sys.executable, "-c", PARENT), 1, environment={"OWN": "1"}),
    Program("broken", (sys.executable, "-c", "raise SystemExit('no such bundle')"), 1),
]


@pytest.fixture
def folder(tmp_path: Path) -> UpFolder:
    folder = UpFolder(tmp_path)
    folder.make()
    folder.configuration.write_text(configuration(PROGRAMS))
    return folder


@pytest.fixture
def supervisor(folder: UpFolder) -> Iterator[Supervisor]:
    supervisor = Supervisor(folder)
    try:
        supervisor.start(os.environ)
        yield supervisor
    finally:
        if supervisor.runs():
            supervisor.shut_down()
        end_processes(supervisor.processes())


def wait_for(condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def pid_of(supervisor: Supervisor, name: str) -> int | None:
    return supervisor.states()[name].pid


def test_what_is_killed_comes_back_and_what_ignores_sigterm_is_killed(
    supervisor: Supervisor, folder: UpFolder
) -> None:
    assert {state.state for state in supervisor.states().values()} == {"STOPPED"}
    assert supervisor.processes() == []
    supervisor.start_program("stubborn")
    supervisor.start_program("stubborn")  # runs already
    wait_for(lambda: "here" in folder.log("stubborn").read_text())
    first = pid_of(supervisor, "stubborn")
    assert first is not None
    os.kill(first, 9)
    wait_for(lambda: pid_of(supervisor, "stubborn") not in (None, first))
    wait_for(lambda: folder.log("stubborn").read_text().count("here") == 2)
    second = pid_of(supervisor, "stubborn")
    assert [process.pid for process in supervisor.processes()] == [second]
    supervisor.stop_program("stubborn")
    supervisor.stop_program("stubborn")  # is stopped already
    assert supervisor.states()["stubborn"].state == "STOPPED"
    assert second is not None
    assert not psutil.pid_exists(second)


def test_shutting_down_leaves_no_socket_and_no_pid_file(supervisor: Supervisor, folder: UpFolder) -> None:
    supervisor.start_program("parent")
    supervisor.shut_down()
    assert not supervisor.runs()
    assert supervisor.states() == {}
    assert not folder.socket.exists()
    assert not folder.supervisor_pid.exists()


def test_what_a_killed_supervisord_left_behind_is_found_and_ended(
    supervisor: Supervisor, folder: UpFolder
) -> None:
    supervisor.start_program("parent")
    wait_for(lambda: len(supervisor.processes()) == 2)  # the program and its child
    assert len(supervisor.processes("OWN")) == 2
    assert supervisor.processes("ANOTHER") == []
    killed = psutil.Process(int(folder.supervisor_pid.read_text()))
    killed.kill()
    wait_for(lambda: not supervisor.runs())
    assert folder.socket.exists()
    left = supervisor.processes()
    assert len(left) == 2
    end_processes(left)
    assert supervisor.processes() == []
    supervisor.start(os.environ)  # beside the files of the killed one
    assert supervisor.runs()


def test_a_program_that_ends_is_an_error_with_its_log(supervisor: Supervisor, folder: UpFolder) -> None:
    supervisor.start_program("broken")
    with pytest.raises(UpError, match=r"broken ended:\n.*broken\.log ends with\n    no such bundle"):
        wait_until_ready(supervisor, folder, "broken", lambda: False, PATIENCE_S)


def test_a_program_that_is_not_ready_in_time_is_an_error(supervisor: Supervisor, folder: UpFolder) -> None:
    supervisor.start_program("parent")
    with pytest.raises(UpError, match=r"parent was not ready after 0 s:\n.*parent\.log ends with"):
        wait_until_ready(supervisor, folder, "parent", lambda: False, 0.01)
    wait_until_ready(supervisor, folder, "parent", lambda: True, 0.01)


def test_a_configuration_that_cannot_be_read_is_an_error(folder: UpFolder) -> None:
    folder.configuration.write_text("[supervisord]\nlogfile_maxbytes=much\n")
    with pytest.raises(UpError, match="supervisord did not start: "):
        Supervisor(folder).start(os.environ)


def test_without_a_supervisord_nothing_runs(tmp_path: Path) -> None:
    supervisor = Supervisor(UpFolder(tmp_path))
    assert not supervisor.runs()
    assert supervisor.states() == {}
    assert supervisor.processes() == []
