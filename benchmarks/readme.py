"""Writes the rows of the measurements that the README shows between its two marks."""

import re
from typing import Final

from benchmarks.performance.comparisons import Results, against_upstream, rows_of
from benchmarks.performance.tables import machines

SHOWN: Final = (
    # part, paths, context_stride
    ("upstream-mini", 1, 1),
    ("upstream-mini", 20, 1),
    ("upstream-base", 1, 1),
    ("upstream-base", 20, 1),
    ("sliding-base", 1, 1),
    ("sliding-base", 20, 1),
)
NOTE: Final = (
    "One request on hourly candles, random weights. Upstream is timed on some steps in the same run and "
    "scaled to all, and so are requests marked †."
)
_MARKED: Final = re.compile(r"(?s)(<!-- bench -->\n).*(<!-- /bench -->)")


def short_table(results: Results) -> str:
    """Return those rows of `SHOWN` that have been measured as one table, with the lines on the machines."""
    rows = [
        row
        for part, paths, stride in SHOWN
        for row in rows_of(results, part)
        if row["paths"] == paths and row["stride"] == stride
    ]
    parts = dict.fromkeys(part for part, *_ in SHOWN)
    # One paragraph, however many machines: the README has a limit of lines.
    return f"{against_upstream(rows)}\n\n{NOTE}\n\n{machines(results, parts, ' ')}"


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
