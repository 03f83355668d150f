"""``make bench``: runs each benchmark in its own process; writes RESULTS.md and the README's short table."""

import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from os import cpu_count
from pathlib import Path

from benchmarks.readme import short_table, with_table

ROOT = Path(__file__).resolve().parents[1]
SECTIONS = {
    "engine": "One request against upstream",
    "event_overhead": "What events cost",
    "batch": "The hourly batch of 25 symbols",
    "event_arrays": "Event arrays",
    "parsing": "Reading events from a request",
}


def machine() -> str:
    """One line with the processor and versions of this machine, and the date."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file() and (match := re.search(r"model name\s*: (.+)", info.read_text())):
        cpu = match[1]
    import onnxruntime
    import torch

    return (
        f"{cpu}, {cpu_count()} cores; Python {platform.python_version()}, "
        f"onnxruntime {onnxruntime.__version__}, torch {torch.__version__.split('+')[0]}, "
        f"prefect {version('prefect')}; {datetime.now(UTC):%Y-%m-%d}"
    )


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


def main() -> None:
    """Run the named benchmarks, or all; replace their sections in RESULTS.md."""
    names = sys.argv[1:] or list(SECTIONS)
    subprocess.run([sys.executable, "-m", "benchmarks.models"], cwd=ROOT, check=True)
    results = ROOT / "benchmarks" / "RESULTS.md"
    tables = _sections(results.read_text()) if results.is_file() else {}
    tables |= {name: f"{run(name)}\n\n*{machine()}*" for name in names}
    parts = [f"## {title}\n\n{tables[name]}\n" for name, title in SECTIONS.items() if name in tables]
    results.write_text("# Results of `make bench`\n\n" + "\n".join(parts))
    if "engine" in tables:
        readme = ROOT / "README.md"
        readme.write_text(with_table(readme.read_text(), short_table(tables["engine"])))


def _sections(text: str) -> dict[str, str]:
    """The sections of RESULTS.md, by the name of their benchmark."""
    sections = dict(re.findall(r"(?ms)^## ([^\n]+)\n\n(.*?)(?=^## |\Z)", text))
    return {name: sections[title].strip() for name, title in SECTIONS.items() if title in sections}


if __name__ == "__main__":
    main()
