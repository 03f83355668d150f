"""What an installation is made of: pins for every dependency, metadata, and the files of the tools around."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LINES = [
    line
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]
PINS = {canonicalize_name(Requirement(line).name): Requirement(line) for line in LINES}
SUPPORTED = [Version(f"3.{minor}") for minor in range(11, 15)]


def required() -> list[Requirement]:
    """Every requirement of `make install` but for its own extras and torch, which TORCH= chooses."""
    project = PROJECT["project"]
    lists = [
        project["dependencies"],
        *project["optional-dependencies"].values(),
        PROJECT["dependency-groups"]["dev"],
    ]
    all_of_them = [Requirement(text) for texts in lists for text in texts]
    return [one for one in all_of_them if one.name not in (project["name"], "torch")]


@pytest.mark.parametrize("requirement", required(), ids=str)
def test_each_dependency_is_pinned_to_a_version_that_it_allows(requirement: Requirement) -> None:
    pin = PINS[canonicalize_name(requirement.name)]
    (version,) = pin.specifier
    assert requirement.specifier.contains(version.version)


def test_a_pin_is_a_name_and_a_version_and_nothing_of_where_it_came_from() -> None:
    assert [line for line in LINES if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][\w.]*", line)] == []
    assert len(PINS) == len(LINES)
    assert not {"torch", "kronos-events", "kronos-model-arch"} & set(PINS)


def test_the_classifiers_and_the_workflow_name_pythons_that_are_supported() -> None:
    allowed = SpecifierSet(PROJECT["project"]["requires-python"])
    named = {text.rpartition(" ")[2] for text in PROJECT["project"]["classifiers"] if "Python :: 3." in text}
    assert {str(one) for one in SUPPORTED if one in allowed} <= named
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    job = workflow["jobs"]["test"]
    assert set(job["strategy"]["matrix"]["python"]) == {"3.11", "3.14"} <= named
    assert "make test PYTHON=python" in [step.get("run") for step in job["steps"]]
    assert not re.search(r"\{\{[^}]*secrets", str(workflow))


def test_the_hooks_are_local_and_run_the_linters_of_make() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repository["repo"] for repository in config["repos"]] == ["local"]
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    assert {hook["language"] for hook in hooks} == {"system"}
    assert [hook["name"] for hook in hooks] == ["ruff check", "ruff format", "mypy"]


def test_every_test_file_is_in_the_suite() -> None:
    """`make test` runs `testpaths` only, in an order of its own."""
    paths = [ROOT / path for path in PROJECT["tool"]["pytest"]["ini_options"]["testpaths"]]
    left_out = [
        str(file.relative_to(ROOT))
        for file in sorted((ROOT / "tests").rglob("test_*.py"))
        if not any(file == path or path in file.parents for path in paths)
    ]
    assert left_out == []
