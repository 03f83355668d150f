"""The README's table of speed is six rows of the results, and says the same as they do."""

import re
from pathlib import Path

import pytest

from benchmarks.readme import SHOWN, short_table, with_table

ROOT = Path(__file__).resolve().parents[2]
HEAD = "| model | lookback | context_stride | paths | this engine |\n|---|---|---|---|---|\n"
ROWS = "".join(
    f"| {' | '.join(key)} | 1.00 s |\n| other | {' | '.join(key[1:])} | 2.00 s |\n" for key in SHOWN
)


def test_a_few_rows_are_shown_with_their_notes() -> None:
    table = short_table(f"{HEAD}{ROWS}\nA note.\n\n*the machine*\n")
    lines = table.splitlines()
    assert lines[:2] == HEAD.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:8]] == [f"| {key[0]}" for key in SHOWN]
    assert lines[8:] == ["", "A note.", "", "*the machine*"]


def test_a_row_that_was_not_measured_is_named() -> None:
    with pytest.raises(ValueError, match="no row 'mini 392 1 1'"):
        short_table(HEAD + "| base | 392 | 1 | 1 | 1.00 s |\n")


def test_only_what_is_between_the_marks_is_replaced() -> None:
    readme = "before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n"
    assert with_table(readme, "new") == "before\n<!-- bench -->\nnew\n<!-- /bench -->\nafter\n"
    with pytest.raises(ValueError, match="bench"):
        with_table("no marks", "new")


def test_the_readme_shows_what_the_results_say() -> None:
    results = (ROOT / "benchmarks" / "RESULTS.md").read_text()
    found = re.search(r"(?ms)^## One request against upstream\n\n(.*?)(?=^## |\Z)", results)
    assert found is not None
    readme = (ROOT / "README.md").read_text()
    assert with_table(readme, short_table(found[1])) == readme
