"""Writes the rows of RESULTS.md that the README shows between its two marks."""

import re
from typing import Final

SHOWN: Final = (
    # model, lookback, context_stride, paths
    ("mini", "392", "1", "1"),
    ("mini", "392", "1", "20"),
    ("base", "392", "1", "1"),
    ("base", "392", "1", "20"),
    ("base", "512", "1", "20"),
    ("base", "512", "64", "20"),
)
_MARKED: Final = re.compile(r"(?s)(<!-- bench -->\n).*(<!-- /bench -->)")


def short_table(section: str) -> str:
    """Return the section "One request against upstream" with the rows of `SHOWN` alone.

    Parameters
    ----------
    section
        Its Markdown: one table, followed by the notes and the line on the machine, which are kept.

    Raises
    ------
    ValueError
        A row of `SHOWN` is not in the table.
    """
    lines = section.strip().splitlines()
    table = [line for line in lines if line.startswith("|")]
    rows = {tuple(_cells(line)[: len(SHOWN[0])]): line for line in table[2:]}
    missing = [" ".join(key) for key in SHOWN if key not in rows]
    if missing:
        raise ValueError(f"the table of benchmarks.engine has no row {missing[0]!r}")
    return "\n".join([*table[:2], *(rows[key] for key in SHOWN), *lines[len(table) :]])


def with_table(readme: str, table: str) -> str:
    """Return the README with a table in place of the one between its marks.

    Raises
    ------
    ValueError
        The README has no such marks.
    """
    changed, count = _MARKED.subn(lambda marks: f"{marks[1]}{table}\n{marks[2]}", readme)
    if count != 1:
        raise ValueError(
            "README.md has no <!-- bench --> … <!-- /bench -->, where the table of speed belongs"
        )
    return changed


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]
