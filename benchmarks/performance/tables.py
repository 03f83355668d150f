"""Writes figures as Markdown tables and phrases."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from benchmarks.machine import in_words
from benchmarks.performance.results import Result

PRECISION_NAMES: Final = {"fp32": "float32", "int8": "int8"}


def markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def seconds(value: float) -> str:
    """Return a time with three digits, in milliseconds below one second."""
    return f"{_three_digits(1000 * value)} ms" if value < 1 else f"{_three_digits(value)} s"


def times(ratio: float) -> str:
    """Return a ratio, with one decimal below 10."""
    return f"{ratio:.1f} ×" if ratio < 9.95 else f"{ratio:.0f} ×"


def percent(share: float) -> str:
    """Return a share in whole per cent."""
    return f"{100 * share:.0f} %"


def gigabytes(mb: float) -> str:
    """Return megabytes as GB."""
    return f"{mb / 1000:.2f} GB"


def precision_name(precision: str) -> str:
    """Return what users call a precision."""
    return PRECISION_NAMES.get(precision, precision)


def precisions(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the precisions that rows are about, float32 first."""
    return sorted({row["precision"] for row in rows if "precision" in row}, key=lambda name: name != "fp32")


def machines(results: Mapping[str, Result], parts: Iterable[str], between: str = "\n\n") -> str:
    """Return the machines and commits of some parts, each once."""
    lines = dict.fromkeys(in_words(results[part].machine) for part in parts if part in results)
    return between.join(f"*{line}*" for line in lines)


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
