"""The command ``kronos``: what it lists, what it dispatches to, and what it imports."""

import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import kronos_cli
from kronos_cli import COMMANDS, main

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_distribution_installs_the_command_and_its_module() -> None:
    assert PROJECT["project"]["scripts"] == {"kronos": "kronos_cli:main"}
    assert PROJECT["tool"]["setuptools"]["py-modules"] == ["kronos_cli"]
    assert {command.extra for command in COMMANDS.values()} <= set(
        PROJECT["project"]["optional-dependencies"]
    )


def test_help_lists_every_command_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["--help"])
    assert done.value.code == 0
    printed = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert f"  {name:13}  {command.summary}\n" in printed
        assert command.summary.endswith(".")


@pytest.mark.parametrize("arguments", [[], ["lod"]])
def test_no_command_or_an_unknown_one_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert refused.value.code == 2
    assert "kronos: error: " in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_has_its_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main([name, "--help"])
    assert done.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: kronos {name} [-h]")


def test_python_m_keeps_the_name_of_the_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.load", "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.startswith("usage: python -m flows.load [-h]")


def test_arguments_and_exit_status_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def command(arguments: list[str], prog: str) -> int:
        calls.append((arguments, prog))
        return 3

    module = ModuleType("a command")
    monkeypatch.setattr(module, "main", command, raising=False)
    monkeypatch.setattr(kronos_cli, "import_module", lambda name: module)
    assert main(["load", "candles", "--help"]) == 3
    assert main(["plot", "out.png"]) == 3
    assert calls == [(["candles", "--help"], "kronos load"), (["plot", "out.png"], "kronos")]


@pytest.mark.parametrize(("name", "missing"), [("predict", "prefect"), ("export", "torch")])
def test_a_part_that_is_not_installed_is_named_with_its_extra(
    name: str, missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def not_installed(module: str) -> ModuleType:
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    monkeypatch.setattr(kronos_cli, "import_module", not_installed)
    assert main([name]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"kronos {name}: the package {missing} is not installed")
    assert f"pip install '.[{COMMANDS[name].extra}]'" in printed


def test_a_module_of_this_distribution_that_is_missing_is_no_question_of_installing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(module: str) -> ModuleType:
        raise ModuleNotFoundError("No module named 'flows.gone'", name="flows.gone")

    monkeypatch.setattr(kronos_cli, "import_module", broken)
    with pytest.raises(ModuleNotFoundError):
        main(["predict"])


def test_the_module_imports_the_standard_library_alone() -> None:
    code = (
        "import sys; before = set(sys.modules); import kronos_cli; "
        "print({name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "{'kronos_cli'}"
