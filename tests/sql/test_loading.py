"""Loading of queries by name: names are unique, and every call in the product names a query that exists."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path

import pytest

from sql.loading import load, load_for_table
from tests.market_data import ROOT

PARTS = ("benchmarks", "export", "flows", "inference_server", "market", "sql", "training")


def queries() -> list[str]:
    """Return the names of all files in the folders of sql/queries."""
    subjects = resources.files("sql").joinpath("queries").iterdir()
    return [file.name.removesuffix(".sql") for subject in subjects for file in subject.iterdir()]


@cache
def modules(*parts: str) -> dict[Path, ast.Module]:
    """Return the parsed modules of the product that load queries, or name them for `load_rows`."""
    texts = {path: path.read_text(encoding="utf-8") for part in parts for path in (ROOT / part).rglob("*.py")}
    return {
        path: ast.parse(text)
        for path, text in texts.items()
        if "from sql.loading import" in text or "import load_rows" in text
    }


def name_patterns(node: ast.AST) -> Iterator[str]:
    """Yield the strings of a module or an expression as patterns, with ``.+`` for a field of an f-string.

    An f-string that begins with a field is left out: its pattern would match most names.
    """
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield re.escape(node.value)
    elif isinstance(node, ast.JoinedStr):
        if isinstance(node.values[0], ast.Constant):
            parts = (
                re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".+" for part in node.values
            )
            yield "".join(parts)
    else:
        for child in ast.iter_child_nodes(node):
            yield from name_patterns(child)


def test_every_query_has_a_unique_name_and_loads() -> None:
    names = queries()
    assert len(names) == len(set(names)) > 0
    for name in names:
        assert load(name)


def test_an_unknown_name_is_rejected() -> None:
    with pytest.raises(FileNotFoundError, match=r"no_such_query\.sql"):
        load("no_such_query")


def test_the_name_of_a_table_is_quoted() -> None:
    query = load_for_table("candles", 'a"b').as_string()
    assert 'FROM "a""b" AS c' in query
    assert "{table}" not in query


def test_every_call_names_an_existing_query() -> None:
    calls = [
        (path, node)
        for path, module in modules(*PARTS).items()
        for node in ast.walk(module)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("load", "load_for_table")
    ]
    assert calls
    unknown = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {pattern}"
        for path, node in calls
        for pattern in name_patterns(node.args[0])
        if not any(re.fullmatch(pattern, name) for name in queries())
    ]
    assert unknown == []


def test_every_query_is_used() -> None:
    """This also finds a typo in a name that reaches `load` through a variable: its query is unused then."""
    product = modules(*(part for part in PARTS if part != "benchmarks"))
    patterns = {pattern for module in product.values() for pattern in name_patterns(module)}
    unused = [name for name in queries() if not any(re.fullmatch(pattern, name) for pattern in patterns)]
    assert unused == []
