"""Writes the blocks of docs/performance.md, each from the figures of one part or of several."""

from collections.abc import Callable
from typing import Any, Final

from benchmarks.performance import growth, operators, sizing
from benchmarks.performance.comparisons import (
    MEASURE,
    Results,
    block_of,
    phase_name,
    precisions_block,
    rows_of,
    sliding_block,
    upstream_block,
)
from benchmarks.performance.floors import floor_of
from benchmarks.performance.products import OPERATORS
from benchmarks.performance.tables import (
    gigabytes,
    markdown,
    percent,
    precision_name,
    precisions,
    seconds,
    times,
)


def floors_block(results: Results) -> str:
    """Return how far prefills and steps are from what the machine can do."""

    def table(rows: list[dict[str, Any]]) -> str:
        lines = [
            [
                precision_name(row["precision"]),
                phase_name(row),
                *map(seconds, (row["seconds"], row["memory_s"], row["products_s"])),
                times(row["seconds"] / floor_of(row)),
            ]
            for row in rows
            if row["what"] in ("prefill", "step")
        ]
        read = [
            f"{precision_name(row['precision'])} {row['bytes'] / 1e6:.0f} MB "
            f"at {row['bandwidth'] / 1e9:.1f} GB/s"
            for row in rows
            if row["what"] == "bandwidth"
        ]
        head = ["precision", "what", "time", "reading alone", "products alone", "over the larger one"]
        return f"{markdown(head, lines)}\n\nWeights read by a step: {', '.join(read)}."

    return block_of(results, ["floors"], table)


def rates_block(results: Results) -> str:
    """Return the rates of the operators that multiply with weights."""

    def table(rows: list[dict[str, Any]]) -> str:
        found = [row for row in rows if row["what"] == "rate"]
        timed = [name for name in OPERATORS if name in found[0]]
        lines = [[row["rows"], *(f"{row[name] / 1e9:.0f}" for name in timed)] for row in found]
        return markdown(["rows", *(f"`{name}`, GOPS" for name in timed)], lines)

    return block_of(results, ["floors"], table)


def growth_block(results: Results) -> str:
    """Return the plots and the figures behind them."""
    fixed = growth.FIXED
    found = [axis for axis in fixed if f"growth-{axis}" in results]
    kinds = {axis: results[f"growth-{axis}"].machine["compiled_operators"] for axis in found}
    images = " ".join(f"![seconds by {axis}](performance/{kind}/{axis}.png)" for axis, kind in kinds.items())
    lines = []
    for axis in found:
        rows = results[f"growth-{axis}"].rows
        for precision in precisions(rows):
            figures = [
                f"{row['value']}: {seconds(row['seconds'])}"
                + (f" ({row['a_minute']:.0f} a minute)" if "a_minute" in row else "")
                for row in rows
                if row["precision"] == precision
            ]
            lines.append([f"{axis} ({fixed[axis]})", precision_name(precision), ", ".join(figures)])
    parts = [f"growth-{axis}" for axis in fixed]
    return block_of(
        results, parts, lambda _: f"{images}\n\n{markdown(['grows', 'precision', 'seconds by value'], lines)}"
    )


def profile_block(results: Results) -> str:
    """Return in which operators the time goes, by commit."""

    def table(rows: list[dict[str, Any]]) -> str:
        lines = [
            [
                row["commit"],
                precision_name(row["precision"]),
                f"{row['phase']}, {row['paths']} path{'s' * (row['paths'] > 1)}",
                seconds(row["seconds"]),
                *(percent(row["shares"][kind]) for kind in operators.KINDS),
                ", ".join(f"{name} {percent(share)}" for name, share in row["rest"].items()),
                row["operators"],
            ]
            for row in rows
        ]
        head = ["commit", "precision", "what", "time", *operators.KINDS, "of the rest", "operators"]
        return markdown(head, lines)

    return block_of(results, ["profile"], table)


def accuracy_block(results: Results) -> str:
    """Return what other precisions cost in accuracy."""
    changes = {
        "nll": "negative log-likelihood of a token pair",
        "nll_s1": "of its first token",
        "nll_s2": "of its second token",
        "crps": "CRPS of close",
        "width": "width from p10 to p90",
    }
    agreement = {"same_s1": "equal most probable first token", "same_s2": "equal most probable second token"}

    def table(rows: list[dict[str, Any]]) -> str:
        lines = []
        for row in rows:
            name = precision_name(row["precision"])
            for figure, words in changes.items():
                change = row[figure]
                interval = f"{change['low']:+.2f} % to {change['high']:+.2f} %"
                lines.append([name, words, f"{change['percent']:+.2f} %", interval])
            lines += [[name, words, f"{100 * row[figure]:.1f} %", "–"] for figure, words in agreement.items()]
        windows = ", ".join(f"{count} of {kind}" for kind, count in rows[0]["windows"].items())
        note = (
            f"The demo's trained model on windows of {rows[0]['data']} candles ({windows}), "
            f"{rows[0]['lookback']} + {rows[0]['pred_len']}, {rows[0]['paths']} paths."
        )
        return f"{markdown(['precision', 'figure', 'against float32', '95 % interval'], lines)}\n\n{note}"

    if not rows_of(results, "accuracy"):
        return f"Not measured yet: {MEASURE.format('accuracy')} exports the demo's model in each precision."
    return block_of(results, ["accuracy"], table)


def memory_block(results: Results) -> str:
    """Return the memory of a server by precision."""

    def table(rows: list[dict[str, Any]]) -> str:
        lines = [
            [
                precision_name(row["precision"]),
                row["after"],
                row.get("status", "–"),
                row.get("together", "–"),
                gigabytes(row["rss_mb"]),
                gigabytes(row["peak_mb"]),
            ]
            for row in rows
        ]
        head = [
            "precision",
            "after paths × pred_len",
            "status",
            "paths together",
            "resident",
            "peak until then",
        ]
        return markdown(head, lines)

    return block_of(results, ["memory"], table)


def batch_block(results: Results) -> str:
    """Return the hourly batch through the flow."""

    def table(rows: list[dict[str, Any]]) -> str:
        lines = [
            [
                row["size"],
                precision_name(row["precision"]),
                f"{row['symbols']} × {row['paths']}",
                f"{row['lookback']} + {row['pred_len']}",
                seconds(row["seconds"]),
                seconds(row["seconds"] / row["symbols"]),
                row["stored"],
                gigabytes(1000 * row["server_gb"]),
            ]
            for row in rows
        ]
        head = ["model", "precision", "symbols × paths", "lookback + pred_len", "time", "per symbol", "rows"]
        note = f"From {rows[0]['source']} candles in Postgres to stored rows, with events."
        return f"{markdown([*head, 'peak memory of the server'], lines)}\n\n{note}"

    return block_of(results, [f"batch-{size}" for size in sizing.SIZES], table)


def sizing_block(results: Results) -> str:
    """Return how many cores a number of symbols needs."""
    parts = [f"batch-{size}" for size in sizing.SIZES]
    costs = [
        sizing.cost(row["size"], row["precision"], row["seconds"], result.machine["cores"], row["symbols"])
        for part in parts
        if (result := results.get(part)) is not None
        for row in result.rows
    ]

    def table(_: object) -> str:
        lines = [
            [
                each.size,
                precision_name(each.precision),
                seconds(each.core_s),
                *(sizing.in_words(each, count) for count in sizing.SYMBOLS),
            ]
            for each in costs
        ]
        sizes = dict.fromkeys(each.size for each in costs)
        unknown = ["not measured"] * (1 + len(sizing.SYMBOLS))
        lines += [[size, "float16 on a GPU", *unknown] for size in sizes]
        head = ["model", "precision", "core seconds a symbol", *(f"{n:,} symbols" for n in sizing.SYMBOLS)]
        best = [sizing.cheapest(costs, size) for size in sizes]
        chosen = "; ".join(f"{each.size}: {precision_name(each.precision)}" for each in best)
        return f"{markdown(head, lines)}\n\nThe precision that needs the fewest cores: {chosen}."

    return block_of(results, parts, table)


BLOCKS: Final[dict[str, Callable[[Results], str]]] = {
    "upstream": upstream_block,
    "sliding": sliding_block,
    "batch": batch_block,
    "floors": floors_block,
    "rates": rates_block,
    "growth": growth_block,
    "profile": profile_block,
    "precisions": precisions_block,
    "accuracy": accuracy_block,
    "memory": memory_block,
    "sizing": sizing_block,
}
