"""File systems with little free space are named once, with the limit."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from flows.runtime.disk_space import growing_folders, low_space

MIB = 2**20


def set_usage(monkeypatch: pytest.MonkeyPatch, free_mib: float) -> None:
    usage = SimpleNamespace(total=5000 * MIB, used=0, free=int(free_mib * MIB))
    monkeypatch.setattr("flows.runtime.disk_space.shutil.disk_usage", lambda folder: usage)


@pytest.mark.parametrize(
    ("free_mib", "limit", "low"),
    [
        (1023, None, True),
        (1024, None, False),
        (1023, "100", False),
        (99, " 100 ", True),
        (0, "0", False),
        (5, "", True),
    ],
)
def test_the_limit_is_a_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_mib: float, limit: str | None, low: bool
) -> None:
    set_usage(monkeypatch, free_mib)
    monkeypatch.delenv("KRONOS_MIN_FREE_MB", raising=False)
    if limit is not None:
        monkeypatch.setenv("KRONOS_MIN_FREE_MB", limit)
    assert bool(low_space([tmp_path])) == low


def test_one_file_system_is_named_once_and_folders_that_are_gone_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_usage(monkeypatch, 10)
    (tmp_path / "a").mkdir()
    (sentence,) = low_space([tmp_path, tmp_path / "a", tmp_path / "gone"])
    assert sentence.startswith("DISK NEARLY FULL: 10 MiB of 5,000 are free where ")
    assert low_space([tmp_path / "gone"]) == []


def test_a_real_file_system_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free_mib = shutil.disk_usage(tmp_path).free // MIB
    monkeypatch.setenv("KRONOS_MIN_FREE_MB", str(free_mib * 2))
    assert len(low_space([tmp_path])) == 1
    monkeypatch.setenv("KRONOS_MIN_FREE_MB", str(free_mib // 2))
    assert low_space([tmp_path]) == []


@pytest.mark.parametrize("text", ["much", "-1", "1.5"])
def test_another_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("KRONOS_MIN_FREE_MB", text)
    with pytest.raises(ValueError, match=f"KRONOS_MIN_FREE_MB is '{text}'; expected a whole number of MiB"):
        low_space([tmp_path])


def test_the_folders_that_grow_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", "/a")
    monkeypatch.delenv("KRONOS_DATA_DIR", raising=False)
    assert growing_folders() == [Path("/a"), Path()]
