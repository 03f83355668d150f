"""The command ``python -m benchmarks performance``: measures parts and writes docs/performance.md."""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.performance import page
from benchmarks.performance.parts import PARTS


def main(arguments: Sequence[str]) -> int:
    """Measure the parts, or only write the page; 0, or 1 where a part failed.

    Each part is stored as it ends, so an interrupted run goes on with the missing ones.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks performance",
        description="Measures speed and memory of the engine, and writes docs/performance.md.",
    )
    parser.add_argument(
        "--part",
        action="append",
        choices=list(PARTS),
        help="what to measure, may be repeated; all unless given",
    )
    parser.add_argument("--page", action="store_true", help="write the page from the stored figures alone")
    args = parser.parse_args(arguments)
    parts = [] if args.page else args.part or list(PARTS)
    failed = [part for part in parts if not _measured(part)]
    page.write()
    for part in failed:
        print(f"{part} failed; its earlier figures, if any, stay in the page", file=sys.stderr)
    return int(bool(failed))


def _measured(part: str) -> bool:
    """Measure a part in a process of its own, so that none meets the memory and the threads of another."""
    print(f"== {part}", file=sys.stderr, flush=True)
    start = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.performance", part]
    done = subprocess.run(command, cwd=page.ROOT, check=False)
    print(f"== {part}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return done.returncode == 0
