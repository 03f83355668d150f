"""The folder of a machine's processes: private, and short enough for a socket."""

from pathlib import Path

import pytest

from flows.supervision.errors import UpError
from flows.supervision.folder import UpFolder


def test_only_its_owner_can_enter(tmp_path: Path) -> None:
    folder = UpFolder(tmp_path / "up")
    folder.make()
    folder.make()
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert folder.log("worker") == tmp_path / "up" / "logs" / "worker.log"
    with folder.locked():
        assert folder.logs.is_dir()


def test_a_path_that_is_too_long_for_a_socket_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    folder = UpFolder(tmp_path / ("x" * 100))
    with pytest.raises(UpError, match="too long for a Unix socket in it, which may have 100 bytes"):
        folder.make()
    assert not folder.path.exists()


def test_a_name_that_supervisord_cannot_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UpError, match="has a % in it"):
        UpFolder(tmp_path / "100%").make()


def test_a_file_in_its_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "up").touch()
    with pytest.raises(UpError, match=r"can't use .*up: File exists"):
        UpFolder(tmp_path / "up").make()
