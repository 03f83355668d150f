"""Puts the measured blocks into docs/performance.md and the README, and draws the plots."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from benchmarks.performance import growth, plots
from benchmarks.performance.blocks import BLOCKS
from benchmarks.performance.comparisons import Results
from benchmarks.performance.results import KINDS, load_all
from benchmarks.readme import short_table, with_table

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "performance.md"
README: Final = ROOT / "README.md"


def write() -> None:
    """Write the page, its plots and the README's table from the stored results."""
    by_kind = load_all()
    for kind, results in by_kind.items():
        for axis, fixed in growth.FIXED.items():
            if (result := results.get(f"growth-{axis}")) is not None:
                plots.growth(result.rows, axis, fixed, plots.FOLDER / kind / f"{axis}.png")
    PAGE.write_text(with_blocks(PAGE.read_text(), by_kind))
    README.write_text(with_table(README.read_text(), short_table(by_kind)))


def with_blocks(page: str, by_kind: Mapping[str, Results]) -> str:
    """Return the page with each block written anew between its marks, for each kind of processor.

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
        text = "\n\n".join(f"**{KINDS[kind]}**\n\n{block(results)}" for kind, results in by_kind.items())
        page, count = re.subn(pattern, lambda m, text=text: f"{m[1]}{text}\n{m[2]}", page)  # type: ignore[misc]
        if count != 1:
            raise ValueError(
                f"docs/performance.md has no <!-- end of {name} --> behind <!-- measured: {name} -->"
            )
    return page
