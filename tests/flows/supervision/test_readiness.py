"""Ports that are taken are named with the setting to change; answers are awaited."""

import os
import socket
from pathlib import Path

import pytest

from flows.supervision.errors import UpError
from flows.supervision.readiness import answers, log_end, require_free_port


def test_a_free_port_is_accepted_and_a_taken_one_is_named_with_its_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(UpError) as refused:
            require_free_port("127.0.0.1", port, "KRONOS_PORT")
    assert str(refused.value).startswith(f"can't listen on port {port} of 127.0.0.1 (process {os.getpid()}, ")
    assert str(refused.value).endswith("has it): set KRONOS_PORT to another one")
    require_free_port("127.0.0.1", port, "KRONOS_PORT")


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.1"])
def test_a_host_of_another_machine_is_refused(host: str) -> None:
    with pytest.raises(UpError, match=f"can't listen on port 8200 of {host}"):
        require_free_port(host, 8200, "KRONOS_PORT")


def test_silence_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert not answers(f"http://127.0.0.1:{port}/")


def test_the_end_of_a_log_is_short(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    assert log_end(log) == f"{log} ends with"
    log.write_text("\n".join(str(number) for number in range(100)))
    assert log_end(log).splitlines()[1:3] == ["    85", "    86"]
    assert log_end(log).splitlines()[-1] == "    99"
