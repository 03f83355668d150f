"""Passwords and keys: generated once, in a file for its owner alone."""

from pathlib import Path

import pytest

from flows.supervision.errors import UpError
from flows.supervision.folder import UpFolder
from flows.supervision.secrets import prepare_secrets, read_secrets
from flows.supervision.settings import UpSettings, read_settings

LOOPBACK: dict[str, str] = {}
REACHABLE = {"KRONOS_HOST": "0.0.0.0"}
KEY = "a-key-of-sixteen-characters"


def settings(variables: dict[str, str]) -> UpSettings:
    return read_settings(variables)


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        (LOOPBACK, {"PREFECT_API_URL", "PREFECT_API_AUTH_STRING"}),
        (REACHABLE, {"PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "KRONOS_API_KEY"}),
        (
            REACHABLE | {"KRONOS_API_KEYS": KEY, "KRONOS_API_KEY": KEY},
            {"PREFECT_API_URL", "PREFECT_API_AUTH_STRING"},
        ),
    ],
)
def test_a_password_for_prefect_and_a_key_where_other_machines_reach_the_server(
    tmp_path: Path, variables: dict[str, str], names: set[str]
) -> None:
    folder = UpFolder(tmp_path)
    secrets = prepare_secrets(folder, settings(variables), variables)
    assert set(secrets) == names
    assert all(len(secrets[name]) >= 32 for name in names - {"PREFECT_API_URL"})
    assert read_secrets(folder) == secrets
    assert folder.secrets.stat().st_mode & 0o777 == 0o600


def test_they_stay_the_same_and_follow_the_port(tmp_path: Path) -> None:
    folder = UpFolder(tmp_path)
    first = prepare_secrets(folder, settings(REACHABLE), {})
    assert prepare_secrets(folder, settings(REACHABLE), {}) == first
    moved = prepare_secrets(folder, settings(REACHABLE | {"KRONOS_PREFECT_PORT": "4300"}), {})
    assert moved == first | {"PREFECT_API_URL": "http://127.0.0.1:4300/api"}
    assert read_secrets(folder) == moved


def test_two_folders_have_two_passwords(tmp_path: Path) -> None:
    found = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        found.add(prepare_secrets(UpFolder(tmp_path / name), settings({}), {})["PREFECT_API_AUTH_STRING"])
    assert len(found) == 2


@pytest.mark.parametrize("variable", ["KRONOS_API_KEYS", "KRONOS_API_KEYS_FILE"])
def test_keys_of_the_user_need_one_for_the_flows(tmp_path: Path, variable: str) -> None:
    with pytest.raises(UpError, match=f"{variable} is set: set KRONOS_API_KEY to one of these keys"):
        prepare_secrets(UpFolder(tmp_path), settings({}), {variable: KEY})


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(UpError, match=r"can't write .*secrets\.env"):
        prepare_secrets(UpFolder(tmp_path / "gone"), settings({}), {})
    assert read_secrets(UpFolder(tmp_path / "gone")) == {}
