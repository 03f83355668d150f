"""Huge pages: when a process starts again for them, and that it is the same command then."""

import subprocess
import sys
from pathlib import Path

import pytest

from inference_server.huge_pages import HUGE_PAGES, TUNABLES, tunables_for

ROOT = Path(__file__).resolve().parents[2]
ON_REQUEST = "always [madvise] never\n"


@pytest.mark.parametrize(
    ("given", "mode", "libc", "expected"),
    [
        (None, ON_REQUEST, "glibc 2.36", f"{HUGE_PAGES}=1"),
        ("", ON_REQUEST, "glibc 2.35", f"{HUGE_PAGES}=1"),
        ("glibc.malloc.check=1", ON_REQUEST, "glibc 2.41", f"glibc.malloc.check=1:{HUGE_PAGES}=1"),
        (f"{HUGE_PAGES}=0", ON_REQUEST, "glibc 2.36", None),
        (f"{HUGE_PAGES}=1", ON_REQUEST, "glibc 2.36", None),
        (None, ON_REQUEST, "glibc 2.31", None),
        (None, ON_REQUEST, "musl", None),
        (None, ON_REQUEST, "", None),
        (None, "[always] madvise never\n", "glibc 2.36", None),
        (None, "always madvise [never]\n", "glibc 2.36", None),
        (None, "", "glibc 2.36", None),
    ],
)
def test_a_restart_is_for_those_whom_it_helps(
    given: str | None, mode: str, libc: str, expected: str | None
) -> None:
    environment = {} if given is None else {TUNABLES: given}
    assert tunables_for(environment, mode, libc) == expected


def test_the_same_command_runs_once_more_with_the_tunable(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        "import os, sys\n"
        "from inference_server import huge_pages\n"
        f"huge_pages._mode = lambda: {ON_REQUEST!r}\n"
        "huge_pages._libc = lambda: 'glibc 2.36'\n"
        "print('begun', os.getpid())\n"
        "huge_pages.restart_with_huge_pages()\n"
        f"print('served', os.getpid(), os.environ[{TUNABLES!r}], sys.argv[1:], sys.flags.utf8_mode)\n"
    )
    command = [sys.executable, "-X", "utf8", str(script), "--port", "1 2"]
    ran = subprocess.run(
        command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT), "PATH": ""}
    )
    first, second, served = ran.stdout.splitlines()
    assert first == second
    assert served == f"served {first.split()[1]} {HUGE_PAGES}=1 ['--port', '1 2'] 1"
