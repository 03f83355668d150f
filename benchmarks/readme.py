"""Writes the rows of the measurements that the README shows between its two marks."""

import re
from collections.abc import Mapping
from typing import Final

from benchmarks.performance.comparisons import Results, against_upstream, rows_of
from benchmarks.performance.tables import machines

SHOWN: Final = (
    # part, paths, context_stride
    ("upstream-base", 1, 1),
    ("upstream-base", 20, 1),
    ("sliding-base", 1, 1),
)
# What the README calls the kinds of processors that it shows.
NAMES: Final = {"amx": "AMX", "avx512_vnni": "AVX-512"}
NOTE: Final = (
    "One request on hourly candles, random weights. Upstream is timed on some steps in the same run and "
    "scaled to all, and so are requests marked †."
)
_MARKED: Final = re.compile(r"(?s)(<!-- bench -->\n).*(<!-- /bench -->)")


def short_table(by_kind: Mapping[str, Results]) -> str:
    """Return those rows of `SHOWN` that have been measured as one table, with the lines on the machines."""
    shown = {NAMES[kind]: results for kind, results in by_kind.items() if kind in NAMES}
    rows = [
        row | {"processor": name}
        for name, results in shown.items()
        for part, paths, stride in SHOWN
        for row in rows_of(results, part)
        if row["paths"] == paths and row["stride"] == stride
    ]
    parts = dict.fromkeys(part for part, *_ in SHOWN)
    # One paragraph, however many machines: the README has a limit of lines.
    lines = " ".join(machines(results, parts, " ") for results in shown.values())
    return f"{against_upstream(rows, by_processor=True)}\n\n{NOTE}\n\n{lines}"


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
