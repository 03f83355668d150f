"""Whenever the process is killed, a whole folder stands in place, or is put back."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from export import swap
from export.swap import put_in_place, restore


def folder(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "manifest.json").write_text(content)
    return path


def content(path: Path) -> str:
    return (path / "manifest.json").read_text()


@pytest.fixture(params=["exchange", "two renames"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The system's exchange of two paths, and a system without it."""
    if request.param == "two renames":
        monkeypatch.setattr(swap, "_exchanged", lambda *_: False)
    return str(request.param)


def test_the_new_folder_stands_where_the_old_one_was(tmp_path: Path, way: str) -> None:
    new, out = folder(tmp_path / "new", "new"), folder(tmp_path / "out", "old")
    put_in_place(new, out)
    assert content(out) == "new"
    assert {path.name for path in tmp_path.iterdir()} == {"new", "out"}
    assert content(new) == "old"


def test_an_empty_place_is_taken(tmp_path: Path, way: str) -> None:
    put_in_place(folder(tmp_path / "new", "new"), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_new_folder_that_can_not_be_moved_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swap, "_exchanged", lambda *_: False)
    out = folder(tmp_path / "out", "old")
    with pytest.raises(FileNotFoundError):
        put_in_place(tmp_path / "absent", out)
    assert content(out) == "old"


KILLED = """
import os, signal, sys
from pathlib import Path
from export import swap

new, out, way, kills_after = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
if way == "two renames":
    swap._exchanged = lambda *_: False
moves, replace = [], Path.replace

def counted(self, target):
    replace(self, target)
    moves.append(self)
    if len(moves) == kills_after:
        os.kill(os.getpid(), signal.SIGKILL)

Path.replace = counted
swap.put_in_place(new, out)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    ("way", "kills_after", "found"),
    [("exchange", 1, "new"), ("two renames", 1, "old"), ("two renames", 2, "new"), ("two renames", 3, "new")],
)
def test_a_process_that_is_killed_between_two_renames_leaves_a_whole_folder(
    tmp_path: Path, way: str, kills_after: int, found: str
) -> None:
    new, out = folder(tmp_path / "new", "new"), folder(tmp_path / "out", "old")
    command = [sys.executable, "-c", KILLED, str(new), str(out), way, str(kills_after)]
    assert subprocess.run(command, check=False).returncode == -9
    if way == "two renames":
        restore(out)
    assert content(out) == found


def test_a_reader_always_finds_a_folder_where_the_system_exchanges(tmp_path: Path) -> None:
    new, out = folder(tmp_path / "new", "new"), folder(tmp_path / "out", "old")
    if not swap._exchanged(new, out):
        pytest.skip("this file system exchanges no paths")
    done, failures = threading.Event(), []

    def read() -> None:
        while not done.is_set():
            try:
                content(out)
            except OSError as error:
                failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(2000):
        put_in_place(new, out)
    done.set()
    reader.join()
    assert failures == []
