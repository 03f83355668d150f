"""Writes what compares figures: the engine with upstream, and one precision with another."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from benchmarks.performance import sizing
from benchmarks.performance.floors import SIZE as FLOORS_SIZE
from benchmarks.performance.results import Result
from benchmarks.performance.tables import machines, markdown, precision_name, precisions, seconds, times

Results = Mapping[str, Result]
SIZES: Final = ("mini", "small", "base")
MEASURE: Final = "`python -m benchmarks performance --part {}`"


def rows_of(results: Results, *parts: str) -> list[dict[str, Any]]:
    """Return the rows of those parts that have been measured."""
    return [row for part in parts if part in results for row in results[part].rows]


def against_upstream(rows: list[dict[str, Any]], *, by_processor: bool = False) -> str:
    """Return a table of requests: seconds of each precision and of upstream, and how many times faster.

    Parameters
    ----------
    rows
        One for each request and precision.
    by_processor
        Each row has a "processor", which gets the first column.
    """
    kinds = precisions(rows)
    head = ["processor"] * by_processor + ["model", "lookback + pred_len", "context_stride", "paths"]
    head += [*map(precision_name, kinds), "upstream", *(f"faster, {precision_name(kind)}" for kind in kinds)]
    cases: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for row in rows:
        request = (row["size"], f"{row['lookback']} + {row['pred_len']}", row["stride"], row["paths"])
        case = (row["processor"], *request) if by_processor else request
        cases.setdefault(case, {})[row["precision"]] = row
    lines = []
    for case, found in cases.items():
        # Parts may be of different runs, and a precision missing in one of them.
        upstream = next(iter(found.values()))["upstream"]
        of_engine = [found.get(kind) for kind in kinds]
        took = [
            "–" if row is None else seconds(row["engine"]) + "†" * (not row["complete"]) for row in of_engine
        ]
        ratios = ["–" if row is None else times(upstream / row["engine"]) for row in of_engine]
        lines.append([*case, *took, seconds(upstream), *ratios])
    return markdown(head, lines)


def phase_name(row: Mapping[str, Any]) -> str:
    """Return which phase a row of the floors is about, and of how many tokens or rows."""
    unit = "token" if row["what"] == "prefill" else "row"
    return f"{row['what']}, {row['rows']} {unit}{'s' * (row['rows'] > 1)}"


def upstream_block(results: Results) -> str:
    """Return the comparison with upstream where the context never slides."""
    parts = [f"upstream-{size}" for size in SIZES]
    return block_of(results, parts, against_upstream)


def sliding_block(results: Results) -> str:
    """Return the comparison with upstream where the context slides."""
    parts = [f"sliding-{size}" for size in SIZES]
    return block_of(results, parts, against_upstream)


def precisions_block(results: Results) -> str:
    """Return what other precisions gain over float32 in the same run."""
    lines = [
        (
            row["size"],
            f"{row['lookback']} + {row['pred_len']}, stride {row['stride']}, paths {row['paths']}",
            row["precision"],
            row["engine"],
        )
        for row in rows_of(results, *(f"{kind}-{size}" for size in SIZES for kind in ("upstream", "sliding")))
    ]
    lines += [
        (
            row["size"],
            f"{row['symbols']} symbols × {row['paths']} paths through the flow",
            row["precision"],
            row["seconds"],
        )
        for row in rows_of(results, *(f"batch-{size}" for size in sizing.SIZES))
    ]
    lines += [
        (FLOORS_SIZE, phase_name(row), row["precision"], row["seconds"])
        for row in rows_of(results, "floors")
        if row["what"] in ("prefill", "step")
    ]
    float32 = {(size, what): took for size, what, precision, took in lines if precision == "fp32"}
    table = [
        [size, what, seconds(float32[size, what]), precision_name(precision), seconds(took),
         times(float32[size, what] / took)]
        for size, what, precision, took in lines
        if precision != "fp32"
    ]  # fmt: skip
    if not table:
        return "Not measured yet: no precision of the CPU but float32 has been measured."
    head = ["model", "what", "float32", "precision", "time", "faster"]
    return markdown(head, table)


def block_of(results: Results, parts: list[str], table: Callable[[list[dict[str, Any]]], str]) -> str:
    """Return a table of the parts that have been measured, the names of the others, and the machines."""
    missing = [part for part in parts if part not in results]
    lines = [f"Not measured yet: {', '.join(MEASURE.format(part) for part in missing)}."] * bool(missing)
    if len(missing) < len(parts):
        lines = [table(rows_of(results, *parts)), *lines, machines(results, parts)]
    return "\n\n".join(lines)
