"""``make bench``: measures everything; writes RESULTS.md, docs/performance.md and the README's short table.

``python -m benchmarks performance`` measures speed and memory of the engine, ``python -m benchmarks parsing``
one section of RESULTS.md.
"""

import re
import subprocess
import sys
from pathlib import Path

from benchmarks.machine import this_machine
from benchmarks.performance.command import main as measure_performance

ROOT = Path(__file__).resolve().parents[1]
SECTIONS = {
    "event_overhead": "What events cost",
    "event_arrays": "Event arrays",
    "parsing": "Reading events from a request",
}
PERFORMANCE = "performance"


def run(module: str) -> str:
    """Run one benchmark and return the table it prints; its progress goes to the terminal."""
    print(f"== {module}", file=sys.stderr, flush=True)
    completed = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    # Prefect may log to the same stream; the table starts at the first bar.
    return completed.stdout[completed.stdout.index("|") :].strip()


def main() -> int:
    """Run the named benchmarks, or all; replace their sections in RESULTS.md."""
    names = sys.argv[1:]
    if names[:1] == [PERFORMANCE]:
        return measure_performance(names[1:])
    if unknown := set(names) - set(SECTIONS):
        expected = ", ".join([PERFORMANCE, *SECTIONS])
        print(f"there is no benchmark {', '.join(sorted(unknown))}; there are {expected}", file=sys.stderr)
        return 2
    write_results(names or list(SECTIONS))
    return 0 if names else measure_performance([])


def write_results(names: list[str]) -> None:
    """Run these benchmarks and replace their sections in RESULTS.md."""
    results = ROOT / "benchmarks" / "RESULTS.md"
    tables = _sections(results.read_text()) if results.is_file() else {}
    tables |= {name: f"{run(name)}\n\n*{this_machine()}*" for name in names}
    parts = [f"## {title}\n\n{tables[name]}\n" for name, title in SECTIONS.items() if name in tables]
    head = (
        "# Results of `make bench`\n\nSpeed and memory of the engine are in "
        "[docs/performance.md](../docs/performance.md).\n\n"
    )
    results.write_text(head + "\n".join(parts))


def _sections(text: str) -> dict[str, str]:
    """The sections of RESULTS.md, by the name of their benchmark."""
    sections = dict(re.findall(r"(?ms)^## ([^\n]+)\n\n(.*?)(?=^## |\Z)", text))
    return {name: sections[title].strip() for name, title in SECTIONS.items() if title in sections}


if __name__ == "__main__":
    sys.exit(main())
