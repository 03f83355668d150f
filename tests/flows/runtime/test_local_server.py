"""Server processes: ready inside the block, stopped after it, and refused with the end of their log."""

import os
from pathlib import Path

import httpx
import pytest

from flows.runtime.local_server import ServerError, server_process

LISTENS = """
import http.server, os
http.server.test(http.server.SimpleHTTPRequestHandler, port=int(os.environ["KRONOS_PORT"]), bind="127.0.0.1")
"""
ENDS = "raise SystemExit('it has no model')"
NEVER_LISTENS = "import time; print('still loading', flush=True); time.sleep(60)"


def environment(folder: Path, program: str) -> dict[str, str]:
    """Variables with which ``python -m a_server`` runs a program."""
    (folder / "a_server.py").write_text(program)
    return {**os.environ, "PYTHONPATH": str(folder)}


def test_a_server_answers_within_the_block_and_is_stopped_after_it(tmp_path: Path) -> None:
    variables = environment(tmp_path, LISTENS)
    with server_process("a_server", "/", variables, tmp_path / "log") as server:
        assert httpx.get(server.address).status_code == 200
        assert server.process.poll() is None
    assert server.process.poll() is not None


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (ENDS, r"python -m a_server ended; its log .* ends with\nit has no model"),
        (NEVER_LISTENS, r"python -m a_server was not ready after 1 s; its log .* ends with\nstill loading"),
    ],
)
def test_a_server_that_is_not_ready_is_refused_with_its_log(
    tmp_path: Path, program: str, message: str
) -> None:
    variables = environment(tmp_path, program)
    with (
        pytest.raises(ServerError, match=message),
        server_process("a_server", "/", variables, tmp_path / "log", patience_s=1),
    ):
        pass
