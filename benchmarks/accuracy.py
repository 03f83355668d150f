"""Measures what a bundle loses against the float32 bundle of the same checkpoint, on given candles.

``python -m benchmarks.accuracy FLOAT32 OTHER --data FILE`` prints a Markdown table.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from export.accuracy.bounds import BOUNDS, report
from export.accuracy.candle_file import read_candles
from export.accuracy.generated import generated_candles
from export.accuracy.measure import WINDOWS, effort_for, measure
from export.errors import ExportError
from inference_server.engine.bundle import Accuracy, Change, load_manifest


def table(accuracy: Accuracy) -> str:
    """The changes as a Markdown table."""
    rows = [(bound.name, bound.change(accuracy), bound.text) for bound in BOUNDS]
    rows += [("NLL of s1", accuracy.nll_s1, ""), ("NLL of s2", accuracy.nll_s2, "")]
    lines = ["| figure | change | 95 % interval | bound |", "|---|---|---|---|"]
    lines += [f"| {name} | {_percent(change)} | {bound} |" for name, change, bound in rows]
    lines += [
        f"| same most probable {head} | {share:.2%} | | |"
        for head, share in (("s1", accuracy.same_s1), ("s2", accuracy.same_s2))
    ]
    return "\n".join(lines)


def _percent(change: Change) -> str:
    return f"{change.percent:+.3f} % | {change.low:+.3f} to {change.high:+.3f} %"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("float32", type=Path, help="the bundle to compare with")
    parser.add_argument("other", type=Path)
    parser.add_argument("--data", type=Path, help="candles, .csv or .parquet; generated ones unless given")
    parser.add_argument("--windows", type=int, default=WINDOWS)
    parser.add_argument("--paths", type=int, help="by the size of the model unless given")
    args = parser.parse_args()
    manifest = load_manifest(args.float32)
    usual = effort_for(manifest.parameters, manifest.max_context)
    try:
        accuracy = measure(
            args.float32,
            args.other,
            read_candles(args.data) if args.data else generated_candles(),
            args.data.name if args.data else "generated",
            replace(usual, windows=args.windows, paths=args.paths or usual.paths),
        )
    except ExportError as error:
        parser.exit(1, f"error: {error}\n")
    print(table(accuracy))
    print(f"\n*{report(accuracy)[0]}, {accuracy.blocks} blocks*")


if __name__ == "__main__":
    main()
