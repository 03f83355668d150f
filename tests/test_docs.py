"""README and docs/: links, settings, commands, files and examples are those of the code."""

import ast
import json
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

from inference_server.schemas import PredictAnswer, PredictBatchRequest, PredictRequest
from market.event_channels import EVENT_CHANNELS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PACKAGES = sorted(
    folder.parent.name
    for folder in ROOT.glob("*/__init__.py")
    if folder.parent.name not in ("tests", "benchmarks")
)
names = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def sources() -> list[Path]:
    return [file for name in PACKAGES for file in sorted((ROOT / name).rglob("*.py"))]


def prose(text: str) -> str:
    """A page without its code blocks."""
    return re.sub(r"(?ms)^```.*?^```$|^    .*?$", "", text)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"(?m)^#+ (.+)$", prose(text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@names
def test_relative_links_and_their_anchors_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text())):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(file.read_text()), f"{page.name} links to {target}"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_every_page_is_linked_from_the_readme() -> None:
    linked = set(re.findall(r"\]\(docs/([\w.]+)", (ROOT / "README.md").read_text()))
    assert {page.name for page in PAGES[1:]} <= linked


def test_every_setting_is_documented_and_every_documented_setting_exists() -> None:
    setting = r"\bKRONOS_[A-Z_]+[A-Z]\b"
    in_code = {name for file in sources() for name in re.findall(setting, file.read_text())}
    in_docs = {name for page in PAGES for name in re.findall(setting, page.read_text())}
    assert in_docs == in_code


@names
def test_every_command_can_be_run(page: Path) -> None:
    for module in set(re.findall(r"\bpython -m ([\w.]+\w)", page.read_text())):
        spec = find_spec(module)
        assert spec is not None, f"{page.name}: python -m {module}"
        if spec.submodule_search_locations is not None:
            assert find_spec(f"{module}.__main__") is not None, f"{page.name}: python -m {module}"


@names
def test_every_file_of_the_code_that_is_named_exists(page: Path) -> None:
    roots = "|".join([*PACKAGES, "benchmarks", "tests", "docs"])
    for name in re.findall(rf"`((?:{roots})/[\w./]*\w/?)`", page.read_text()):
        assert (ROOT / name).exists(), f"{page.name} names {name}"


@names
def test_examples_are_json(page: Path) -> None:
    for block in re.findall(r"(?ms)^```json\n(.*?)^```$", page.read_text()):
        json.loads(block)


def test_the_readmes_python_compiles() -> None:
    (block,) = re.findall(r"(?ms)^```python\n(.*?)^```$", (ROOT / "README.md").read_text())
    compile(block, "README.md", "exec")


@pytest.mark.parametrize("body", [PredictRequest, PredictBatchRequest, PredictAnswer])
def test_the_interface_page_has_every_field(body: type[msgspec.Struct]) -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    assert [name for name in body.__struct_fields__ if f"`{name}`" not in text] == []


def test_the_events_page_has_every_channel() -> None:
    rows = re.findall(r"(?m)^\| ([\d, ]+) \| (.+?) \|", (ROOT / "docs" / "events.md").read_text())
    found = {
        int(number): name
        for numbers, named in rows
        for number, name in zip(numbers.split(", "), re.findall(r"`(\w+)`", named), strict=True)
    }
    assert found == dict(enumerate(EVENT_CHANNELS))


def test_messages_of_troubleshooting_are_the_codes() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text()
    cells = re.findall(r"(?m)^\| (.*?) \|", text)
    messages = [message for cell in cells for message in re.findall(r"`([^`]+)`", cell) if " " in message]
    assert len(messages) > 30
    # Prefect's and pydantic's own words, and msgspec's.
    foreign = ("Body() got", "Expected … - at")
    lost = [
        fragment
        for message in messages
        if not message.startswith(foreign)
        for fragment in re.split(r"\s*…\s*", message)
        if len(fragment) > 8 and not any(fragment in string for string in strings())
    ]
    assert not lost, lost


@cache
def strings() -> frozenset[str]:
    """Every text of the code, without backticks; values that are put in are an ellipsis."""
    found = set()
    for file in sources():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = (str(each.value) if isinstance(each, ast.Constant) else "…" for each in node.values)
                found.add("".join(parts))
    return frozenset(re.sub(r"`|%s|%r", lambda m: "" if m[0] == "`" else "…", text) for text in found)
