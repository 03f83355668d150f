"""The configuration of supervisord: read back by supervisord's own reader, without secrets."""

import shlex
import sys
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from flows.deployment.server_settings import SERVER_ENVIRONMENT
from flows.supervision.configuration import configuration
from flows.supervision.errors import UpError
from flows.supervision.folder import UpFolder
from flows.supervision.programs import Program, environment_of_all, programs
from flows.supervision.settings import read_settings

SECRETS = {
    "PREFECT_API_URL": "http://127.0.0.1:4200/api",
    "PREFECT_API_AUTH_STRING": "kronos:password-of-prefect",
    "KRONOS_API_KEY": "key-of-the-server",
}
OWN_DATABASE = {"DATABASE_URL": "postgresql://me:secret@host/db"}
SERVERS = ["prefect", "server", "worker"]


def parsed(tmp_path: Path, found: list[Program]) -> ServerOptions:
    folder = UpFolder(tmp_path)
    folder.make()
    folder.configuration.write_text(configuration(found))
    options = ServerOptions()
    options.realize(["-c", str(folder.configuration)])
    return options


@pytest.mark.parametrize(
    ("variables", "generated", "names"),
    [
        ({}, True, ["database", *SERVERS, "generated-market"]),
        ({}, False, ["database", *SERVERS]),
        (OWN_DATABASE, False, SERVERS),
    ],
)
def test_programs_start_after_what_they_need(
    variables: dict[str, str], generated: bool, names: list[str], tmp_path: Path
) -> None:
    found = programs(read_settings(variables), generated=generated)
    assert [program.name for program in found] == names
    groups = sorted(parsed(tmp_path, found).process_group_configs, key=lambda group: group.priority)
    assert [group.name for group in groups] == names


@pytest.mark.parametrize("name", ["plain", "with a blank", "per%cent", "quo'te"])
def test_supervisord_reads_what_was_meant(tmp_path: Path, name: str) -> None:
    command = (f"/env/{name}/bin/python", "-m", "a b")
    folder = tmp_path / name.replace("%", "")
    program = Program("one", command, 7, environment={"DATABASE_URL": ""})
    options = parsed(folder, [program])
    (group,) = options.process_group_configs
    (process,) = group.process_configs
    assert process.get_path() is not None
    assert tuple(shlex.split(process.command)) == command
    assert process.environment == {"DATABASE_URL": ""}
    assert (process.autostart, process.autorestart is not False) == (False, True)
    assert process.stopwaitsecs == 7
    assert process.startretries >= 10_000
    assert process.stdout_logfile == str(folder / "logs" / "one.log")
    assert process.stdout_logfile_maxbytes == 10 * 2**20
    assert process.stdout_logfile_backups == 5
    assert process.redirect_stderr
    (server,) = options.server_configs
    assert server["file"] == str(folder / "supervisor.sock")
    assert server["chmod"] == 0o700
    assert options.logfile_maxbytes == 10 * 2**20


@pytest.mark.parametrize("name", ["a ;b", "a #b", "a\nb"])
def test_a_path_that_supervisord_would_cut_off_is_refused(name: str) -> None:
    with pytest.raises(UpError, match="move the environment to another folder"):
        configuration([Program("one", (name,), 1)])


def test_no_secret_is_in_the_configuration_and_every_one_in_the_environment(tmp_path: Path) -> None:
    settings = read_settings({**OWN_DATABASE, "KRONOS_HOST": "0.0.0.0"})
    found = programs(settings, generated=False)
    variables = environment_of_all(
        {"PATH": "/bin", "PREFECT_PROFILE": "mine"},
        UpFolder(tmp_path),
        settings,
        SECRETS,
        OWN_DATABASE["DATABASE_URL"],
    )
    shown = configuration(found) + " ".join(" ".join(program.command) for program in found)
    for secret in ("secret", "password-of-prefect", "key-of-the-server"):
        assert secret not in shown
        assert any(secret in value for value in variables.values())
    assert variables["PREFECT_SERVER_API_AUTH_STRING"] == variables["PREFECT_API_AUTH_STRING"]
    assert variables["KRONOS_API_KEYS"] == variables["KRONOS_API_KEY"] == "key-of-the-server"
    assert variables["PREFECT_HOME"] == str(tmp_path / "prefect")
    assert variables["PATH"] == "/bin"
    assert variables.items() >= SERVER_ENVIRONMENT.items()
    assert "PREFECT_PROFILE" not in variables


def test_prefect_listens_on_loopback_alone() -> None:
    (prefect,) = [
        program
        for program in programs(read_settings({"KRONOS_HOST": "0.0.0.0"}), generated=False)
        if program.name == "prefect"
    ]
    assert "--host 127.0.0.1 --port 4200" in " ".join(prefect.command)
    assert prefect.command[0] == sys.executable


def test_the_server_is_killed_after_its_grace() -> None:
    found = {
        program.name: program
        for program in programs(read_settings({"KRONOS_GRACE_S": "95.5"}), generated=True)
    }
    assert found["server"].stop_s == 105
