"""Puts the measured blocks into docs/performance.md and the README, and draws the plots."""

import re
from pathlib import Path
from typing import Final

from benchmarks.performance import growth, plots
from benchmarks.performance.blocks import BLOCKS
from benchmarks.performance.comparisons import Results
from benchmarks.performance.results import load_all
from benchmarks.readme import short_table, with_table

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "performance.md"
README: Final = ROOT / "README.md"


def write() -> None:
    """Write the page, its plots and the README's table from the stored results."""
    results = load_all()
    for axis, fixed in growth.FIXED.items():
        if (result := results.get(f"growth-{axis}")) is not None:
            plots.growth(result.rows, axis, fixed, plots.FOLDER / f"{axis}.png")
    PAGE.write_text(with_blocks(PAGE.read_text(), results))
    README.write_text(with_table(README.read_text(), short_table(results)))


def with_blocks(page: str, results: Results) -> str:
    """Return the page with each block written anew between its two marks.

    Raises
    ------
    ValueError
        The page lacks the marks of a block, or has those of an unknown one.
    """
    marked = re.findall(r"<!-- measured: ([\w-]+) -->", page)
    if sorted(marked) != sorted(BLOCKS):
        wrong = ", ".join(sorted(set(marked) ^ set(BLOCKS))) or "one block twice"
        raise ValueError(
            f"docs/performance.md has marks of {', '.join(marked)}; expected is each of {', '.join(BLOCKS)} "
            f"once (wrong: {wrong})"
        )
    for name, block in BLOCKS.items():
        pattern = rf"(?s)(<!-- measured: {name} -->\n).*?(<!-- end of {name} -->)"
        page, count = re.subn(pattern, lambda m, block=block: f"{m[1]}{block(results)}\n{m[2]}", page)  # type: ignore[misc]
        if count != 1:
            raise ValueError(
                f"docs/performance.md has no <!-- end of {name} --> behind <!-- measured: {name} -->"
            )
    return page
