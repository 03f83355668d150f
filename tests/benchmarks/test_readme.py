"""The README's table of speed is a few rows of the measurements, and says the same as they do."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.performance.results import Result, load_all
from benchmarks.readme import SHOWN, short_table, with_table
from tests.helpers.performance_figures import MACHINE, request

ROOT = Path(__file__).resolve().parents[2]


def results(**machine: str) -> dict[str, Result]:
    """Every row of `SHOWN`, and others that are not."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for part, paths, stride in SHOWN:
        kind, _, size = part.partition("-")
        lookback = 512 if kind == "sliding" else 392
        for shown in (paths, paths + 1):
            row = request("fp32", 2.0, size=size, lookback=lookback, paths=shown, stride=stride)
            rows.setdefault(part, []).append(row)
    return {part: Result(MACHINE | machine, found) for part, found in rows.items()}


def test_a_few_rows_are_shown_with_their_notes() -> None:
    kinds = {kind: results(cpu=kind) for kind in ("amx", "avx512_vnni", "avx2")}
    lines = short_table(kinds).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 2 * len(SHOWN) <= 8
    assert [line.split(" | ")[4] for line in table[2:]] == 2 * [str(paths) for _, paths, _ in SHOWN]
    assert [line.split(" | ")[0] for line in table[2:]] == ["| AMX"] * 3 + ["| AVX-512"] * 3
    assert lines[len(table)] == ""
    assert "Upstream is timed on some steps" in lines[len(table) + 1]
    assert lines[-1].count("commit abc1234") == 2
    assert "avx2" not in lines[-1]


def test_only_what_is_between_the_marks_is_replaced() -> None:
    readme = "before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n"
    assert with_table(readme, "new") == "before\n<!-- bench -->\nnew\n<!-- /bench -->\nafter\n"
    with pytest.raises(ValueError, match="bench"):
        with_table("no marks", "new")


def test_the_readme_shows_what_the_figures_say() -> None:
    readme = (ROOT / "README.md").read_text()
    assert with_table(readme, short_table(load_all())) == readme
