"""Tests deploy/: what the images, compose.yaml and the systemd units name exists, is closed and is pinned."""

import re
import shutil
import subprocess
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from inference_server.app import create_app
from inference_server.settings import Settings
from kronos_cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILES = sorted(DEPLOY.glob("*.Dockerfile"))
UNITS = sorted((DEPLOY / "systemd").glob("kronos-*.service"))
JOBS = {"migrate", "server-role", "deploy"}

services = pytest.mark.parametrize("name", sorted(SERVICES))
dockerfiles = pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda file: file.name)
units = pytest.mark.parametrize("unit", UNITS, ids=lambda file: file.name)


def seconds(text: str) -> int:
    """A duration of compose or systemd, such as 10m or 40."""
    number, unit = re.fullmatch(r"(\d+)(s|m|h|)", text).groups()  # type: ignore[union-attr]
    return int(number) * {"s": 1, "": 1, "m": 60, "h": 3600}[unit]


def stages(dockerfile: Path) -> list[str]:
    """The stages of a Dockerfile, without comments and continuation lines."""
    text = re.sub(r"(?m)^#.*\n", "", dockerfile.read_text(encoding="utf-8"))
    return re.split(r"(?m)^(?=FROM )", text.replace("\\\n", " "))[1:]


def routes() -> set[str]:
    return {route.path for route in create_app(Settings(Path("bundle"))).routes}


@services
def test_a_service_is_limited_and_its_log_rotates(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == ("on-failure:3" if name in JOBS else "unless-stopped")
    assert {"max-size", "max-file"} <= set(service["logging"]["options"])
    assert service["mem_limit"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@services
def test_a_service_waits_for_what_it_needs(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        condition = how["condition"]
        assert (condition == "service_completed_successfully") == (needed in JOBS)
        if condition == "service_healthy":
            assert "test" in SERVICES[needed]["healthcheck"]


@services
def test_ports_are_published_on_loopback_alone(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port)


@services
def test_an_image_is_built_here_or_pinned_to_a_version(name: str) -> None:
    service = SERVICES[name]
    if "build" in service:
        assert (DEPLOY / service["build"]["context"]).resolve() == ROOT
        assert ROOT / service["build"]["dockerfile"] in DOCKERFILES
    else:
        assert re.fullmatch(r"[\w./-]+:v?\d[\w.-]*", service["image"])


@services
def test_every_mounted_file_exists(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (DEPLOY / source).exists(), source
        elif not source.startswith("$"):
            assert source in COMPOSE["volumes"]


def test_secrets_are_variables_without_which_compose_refuses_to_start(tmp_path: Path) -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    written = set(secrets(tmp_path / "env"))
    required = set(re.findall(r"\$\{(\w+):\?", text))
    assert required == written | {"KRONOS_BUNDLE"}
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|_KEYS?$|AUTH_STRING", name):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), name
            for password in re.findall(r"://\w+:([^@]*)@", value):
                assert password.startswith("${"), name


def secrets(file: Path) -> dict[str, str]:
    """Run secrets.sh and return what its file has."""
    subprocess.run(["sh", DEPLOY / "secrets.sh", file], check=True, capture_output=True)
    return dict(line.split("=", 1) for line in file.read_text(encoding="utf-8").splitlines())


def test_secrets_are_random_kept_and_readable_by_their_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "secrets.env"
    first = secrets(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert min(map(len, first.values())) >= 48
    assert len(set(first.values())) == len(first) - 2  # two are given once more, to those who send them
    assert first["KRONOS_API_KEY"] == first["KRONOS_API_KEYS"]
    assert first["PREFECT_API_AUTH_STRING"] == first["PREFECT_SERVER_API_AUTH_STRING"]
    assert secrets(file) == first
    assert not set(secrets(tmp_path / "other.env").values()) & set(first.values())


def test_a_secret_whose_line_is_deleted_is_replaced_and_other_lines_stay(tmp_path: Path) -> None:
    file = tmp_path / "secrets.env"
    first = secrets(file)
    lines = [line for line in file.read_text().splitlines() if not line.startswith("GRAFANA")]
    file.write_text("\n".join([*lines, "KRONOS_BUNDLE=/srv/bundle"]))  # without a line feed at the end
    file.chmod(0o644)
    second = secrets(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert {name for name in second if first.get(name) != second[name]} == {
        "GRAFANA_ADMIN_PASSWORD",
        "KRONOS_BUNDLE",
    }
    assert second["KRONOS_BUNDLE"] == "/srv/bundle"


def test_git_ignores_the_secrets() -> None:
    assert "/deploy/.env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


@dockerfiles
def test_an_image_is_built_in_stages_and_does_not_run_as_root(dockerfile: Path) -> None:
    build, final = stages(dockerfile)
    assert re.search(r"ARG PYTHON_IMAGE=python:3\.\d+-slim-\w+\n", dockerfile.read_text(encoding="utf-8"))
    assert build.startswith("FROM ${PYTHON_IMAGE} AS build\n")
    assert "--constraint constraints.txt" in build
    assert final.startswith("FROM ${PYTHON_IMAGE}\n")
    assert re.search(r"(?m)^USER ([1-9]\d*):\1$", final)
    assert re.search(r"(?m)^HEALTHCHECK ", final)
    assert not re.search(r"apt-get|\bpip\b|gcc|build-essential", final)


@dockerfiles
def test_an_image_installs_extras_that_exist_and_never_torch(dockerfile: Path) -> None:
    text = dockerfile.read_text(encoding="utf-8")
    extras = re.findall(r"ARG EXTRAS=(\w+)|\.\[(\w+)\]", text)
    assert {name for pair in extras for name in pair if name} in ({"server"}, {"flows"})
    for pair in extras:
        for name in filter(None, pair):
            requirements = PROJECT["project"]["optional-dependencies"][name]
            assert not any(re.match(r"torch\b|kronos-events\[.*export", each) for each in requirements)


def test_the_build_context_has_every_package_and_file_that_an_image_needs() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    setuptools = PROJECT["tool"]["setuptools"]
    packages = {pattern.rstrip("*") for pattern in setuptools["packages"]["find"]["include"]}
    files = {PROJECT["project"]["readme"], *PROJECT["project"]["license-files"], "constraints.txt"}
    modules = {f"{name}.py" for name in setuptools["py-modules"]}
    assert allowed == packages | files | modules | {"pyproject.toml", "prefect.yaml", "setup.py"}
    assert all((ROOT / name).exists() for name in allowed)
    assert "*" in lines


def test_the_server_s_image_is_built_with_a_compiler_and_without_libraries_of_this_machine() -> None:
    build, _ = stages(DEPLOY / "server.Dockerfile")
    assert build.index("apt-get install --yes --no-install-recommends g++") < build.index(
        " install --constraint"
    )
    assert "**/*.so" in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()


def test_health_checks_and_scrapes_ask_for_routes_that_exist() -> None:
    text = (DEPLOY / "server.Dockerfile").read_text(encoding="utf-8")
    assert set(re.findall(r"http://127\.0\.0\.1:8200(/[\w/]+)", text)) <= routes()
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text(encoding="utf-8"))
    paths = {job.get("metrics_path", "/metrics") for job in config["scrape_configs"]}
    assert paths == {path for path in routes() if path.startswith("/metrics")}
    alerts = (DEPLOY / "prometheus" / "alerts.yaml").read_text(encoding="utf-8")
    named = {name for names in re.findall(r'job=~?"([^"]+)"', alerts) for name in names.split("|")}
    assert named == {job["job_name"] for job in config["scrape_configs"]}


def test_a_server_is_killed_only_after_its_grace_period() -> None:
    grace = float(SERVICES["server"]["environment"]["KRONOS_GRACE_S"])
    assert seconds(SERVICES["server"]["stop_grace_period"]) >= grace + 10
    unit = (DEPLOY / "systemd" / "kronos-server.service").read_text(encoding="utf-8")
    (stop,) = re.findall(r"(?m)^TimeoutStopSec=(\w+)$", unit)
    assert seconds(stop) >= Settings(Path("bundle")).grace_s + 10


@units
def test_a_unit_runs_a_command_that_exists(unit: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    assert text.count("ExecStart=") >= 1
    for module in re.findall(r"python -m ([\w.]+)", text):
        assert find_spec(module) is not None
    for command in re.findall(r"bin/kronos (\w+)", text):
        assert command in COMMANDS


@units
def test_a_unit_has_no_more_rights_than_it_needs(unit: Path) -> None:
    lines = unit.read_text(encoding="utf-8").splitlines()
    for line in (
        "DynamicUser=yes",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "EnvironmentFile=/etc/kronos/secrets.env",
    ):
        assert line in lines
    assert "Type=oneshot" in lines or any(line.startswith("Restart=") for line in lines)


def test_the_target_starts_every_unit() -> None:
    target = (DEPLOY / "systemd" / "kronos.target").read_text(encoding="utf-8")
    (wanted,) = re.findall(r"(?m)^Wants=(.*)$", target)
    started = {unit.name.replace("backup.service", "backup.timer") for unit in UNITS}
    assert set(wanted.split()) == started


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool: apt-get install prometheus")
def test_promtool_accepts_the_alerts_and_their_tests_pass() -> None:
    for command in ("check rules alerts.yaml", "test rules alerts_test.yaml"):
        done = subprocess.run(
            ["promtool", *command.split()],
            cwd=DEPLOY / "prometheus",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_knows_every_setting_of_the_units() -> None:
    units = [*UNITS, *(DEPLOY / "systemd").glob("*.t*")]
    done = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False, timeout=60
    )
    lines = (done.stdout + done.stderr).splitlines()
    here = [line for line in lines if "kronos" in line]
    # What the units start is where an installation has it, and not on the machine of the tests.
    assert [line for line in here if "is not executable" not in line and "not found" not in line] == []
