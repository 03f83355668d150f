"""``make bench-load``: measures the server under load, beside upstream, and with faults; writes LOAD.md.

``python -m benchmarks.load [section …]``; ``--help`` lists the options for shorter runs.
"""

import argparse
import re
from collections.abc import Callable

from benchmarks.load import fairness, faults, shapes, soak, throughput, weight
from benchmarks.machine import ROOT, this_machine

RESULTS = ROOT / "benchmarks" / "LOAD.md"
SECTIONS = {
    "throughput": "Clients and answers",
    "fairness": "A single forecast beside the hourly batch",
    "weight": "Probes beside large bodies and answers",
    "soak": "Memory over time",
    "shapes": "Memory over requests of every shape",
    "faults": "Faults under load",
}


def main() -> None:
    """Run the named sections, or all; replace them in LOAD.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "sections", nargs="*", metavar="section", help=f"of {', '.join(SECTIONS)}; all unless given"
    )
    parser.add_argument(
        "--sizes", nargs="+", default=["mini", "base"], help="models; the first serves fairness and faults"
    )
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8, 32, 128])
    parser.add_argument(
        "--seconds", type=float, default=45.0, help="of each run with clients; base three times that"
    )
    parser.add_argument("--soak", type=float, default=600.0, help="seconds of each model's soak")
    parser.add_argument(
        "--singles", type=int, default=100, help="single forecasts, idle and beside the batch"
    )
    parser.add_argument("--requests", type=int, default=2000, help="of each model, all of other shapes")
    parser.add_argument("--repeats", type=int, default=5, help="of each large request beside probes")
    args = parser.parse_args()
    if unknown := set(args.sections) - set(SECTIONS):
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    first = args.sizes[0]
    runs: dict[str, Callable[[], str]] = {
        "throughput": lambda: throughput.measure(args.sizes, args.clients, args.seconds),
        "fairness": lambda: fairness.measure(first, args.singles),
        "weight": lambda: weight.measure(first, args.repeats),
        "soak": lambda: soak.measure(args.sizes, args.soak),
        "shapes": lambda: shapes.measure(args.sizes, args.requests),
        "faults": lambda: faults.measure(first),
    }
    for section in args.sections or SECTIONS:
        _write(section, f"{runs[section]()}\n\n*{this_machine()}*")


def _write(section: str, table: str) -> None:
    text = RESULTS.read_text() if RESULTS.is_file() else ""
    sections = dict(re.findall(r"(?ms)^## ([^\n]+)\n\n(.*?)(?=^## |\Z)", text)) | {SECTIONS[section]: table}
    parts = [f"## {title}\n\n{sections[title].strip()}\n" for title in SECTIONS.values() if title in sections]
    RESULTS.write_text("# Results of `make bench-load`\n\n" + "\n".join(parts))


if __name__ == "__main__":
    main()
