"""Stores the figures of each part as JSON, by kind of processor and with the machine."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.machine import facts

FOLDER: Final = Path(__file__).with_name("figures")
# Some figures have more digits than any clock; four are enough for every table.
_DIGITS: Final = 4
# What the compiled operators use of a processor, the fastest first, and what users call such processors.
KINDS: Final = {
    "amx": "With a matrix unit (AMX)",
    "avx512_vnni": "With AVX-512 VNNI",
    "avx512": "With AVX-512",
    "avx2": "With AVX2",
    "portable": "Other processors",
    "none": "Without compiled operators",
}


@dataclass(frozen=True)
class Result:
    """The figures of one part, and the machine.

    Attributes
    ----------
    machine
        As `machine.facts` returns it.
    rows
        One mapping for each measurement.
    """

    machine: dict[str, Any]
    rows: list[dict[str, Any]]


def store(part: str, rows: list[dict[str, Any]], folder: Path = FOLDER) -> Result:
    """Write the figures of a part, in place of earlier ones of such a processor."""
    result = Result(facts(), [_rounded(row) for row in rows])
    folder = folder / result.machine["compiled_operators"]
    folder.mkdir(parents=True, exist_ok=True)
    content = {"machine": result.machine, "rows": result.rows}
    (folder / f"{part}.json").write_text(json.dumps(content, indent=1) + "\n")
    return result


def load_all(folder: Path = FOLDER) -> dict[str, dict[str, Result]]:
    """Return the figures of all parts that have been measured, by kind of processor and the part's name."""
    by_kind = {
        kind: {
            file.stem: Result(**json.loads(file.read_text()))
            for file in sorted((folder / kind).glob("*.json"))
        }
        for kind in KINDS
    }
    return {kind: results for kind, results in by_kind.items() if results}


def _rounded(value: Any) -> Any:
    """Return a value whose numbers have `_DIGITS` significant digits."""
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value
