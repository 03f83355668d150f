"""What `kronos up` reads from the environment, and keeps of it."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from flows.supervision.errors import UpError
from flows.supervision.folder import UpFolder
from flows.supervision.settings import EMBEDDED, differences, read_settings, save_running, saved_running


def test_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KRONOS_DATA_DIR", raising=False)
    settings = read_settings({"KRONOS_PORT": " "})
    assert settings.server_address == "http://127.0.0.1:8200"
    assert settings.prefect_address == "http://127.0.0.1:4200"
    assert settings.database == EMBEDDED
    assert settings.data_folder == tmp_path / ".data" / "postgres"
    assert settings.bundle is None
    assert settings.loopback


@pytest.mark.parametrize(
    ("host", "address", "loopback"),
    [
        ("0.0.0.0", "http://127.0.0.1:8200", False),
        ("::", "http://[::1]:8200", False),
        ("10.0.0.5", "http://10.0.0.5:8200", False),
        ("::1", "http://[::1]:8200", True),
        ("localhost", "http://localhost:8200", True),
    ],
)
def test_the_address_is_one_that_this_machine_reaches(host: str, address: str, loopback: bool) -> None:
    settings = read_settings({"KRONOS_HOST": host})
    assert (settings.server_address, settings.loopback) == (address, loopback)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"KRONOS_PORT": "eighty"}, "KRONOS_PORT is 'eighty'; expected a whole number, 1 … 65535"),
        ({"KRONOS_PORT": "0"}, "KRONOS_PORT is '0'"),
        ({"KRONOS_PREFECT_PORT": "65536"}, "KRONOS_PREFECT_PORT is '65536'"),
        ({"KRONOS_PORT": "4200"}, "KRONOS_PORT and KRONOS_PREFECT_PORT are both 4200; give two ports"),
        ({"KRONOS_BUNDLE": "nowhere"}, "KRONOS_BUNDLE is 'nowhere'; expected the folder that"),
        ({"KRONOS_GRACE_S": "-1"}, "KRONOS_GRACE_S is '-1'"),
        ({"DATABASE_URL": "mysql://me:secret@host/db"}, "DATABASE_URL is not a Postgres URL"),
    ],
)
def test_what_cannot_be_used_is_named(variables: dict[str, str], message: str) -> None:
    with pytest.raises(UpError) as refused:
        read_settings(variables)
    assert message in str(refused.value)
    assert "secret" not in str(refused.value)


def test_what_runs_is_kept_without_a_password(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").touch()
    variables = {"DATABASE_URL": "postgres://me:secret@host:5433/db", "KRONOS_BUNDLE": str(tmp_path)}
    settings = read_settings(variables)
    folder = UpFolder(tmp_path)
    assert saved_running(folder) is None
    save_running(folder, settings)
    assert saved_running(folder) == settings
    assert settings.bundle == tmp_path
    assert "me@host:5433/db" in folder.running.read_text()
    assert "secret" not in folder.running.read_text()


def test_a_file_of_another_version_is_named(tmp_path: Path) -> None:
    folder = UpFolder(tmp_path)
    folder.running.write_text("{}")
    with pytest.raises(UpError, match=r"running\.json can't be read .*: delete it"):
        saved_running(folder)


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({}, []),
        ({"port": 8300}, ["port is 8200, not 8300"]),
        (
            {"bundle": Path("/b"), "host": "::1"},
            ["host is 127.0.0.1, not ::1", "bundle is the demo model, not /b"],
        ),
    ],
)
def test_differences_are_told_by_name(changes: dict[str, Any], lines: list[str]) -> None:
    settings = read_settings({})
    assert differences(settings, msgspec.structs.replace(settings, **changes)) == lines
