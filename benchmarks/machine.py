"""Describes the machine and the versions that a measurement was made with."""

import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from os import cpu_count
from pathlib import Path
from typing import Any, Final

import onnxruntime
import psutil
import torch

from inference_server.engine.native_operators import instruction_set

ROOT: Final = Path(__file__).resolve().parents[1]
# Linux' names of the instruction sets that decide the rate of products, and what users call them.
INSTRUCTION_SETS: Final = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx_vnni": "AVX-VNNI",
    "avx512_vnni": "AVX-512 VNNI",
    "amx_bf16": "AMX bf16",
    "amx_int8": "AMX int8",
    "asimd": "NEON",
    "i8mm": "i8mm",
    "sve": "SVE",
}
# What the benchmarks write themselves; other changes mean that the commit is not what was measured.
_WRITTEN: Final = (
    "benchmarks/performance/figures",
    "benchmarks/RESULTS.md",
    "docs/performance",
    "docs/performance.md",
    "README.md",
)


def facts() -> dict[str, Any]:
    """Return processor, cores, instruction sets, compiled operators, memory, versions, date and commit."""
    name, sets = _processor()
    return {
        "cpu": name,
        "cores": cpu_count(),
        "instruction_sets": sets,
        "compiled_operators": instruction_set() or "none",
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
        "torch": torch.__version__.split("+")[0],
        "prefect": version("prefect"),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit(),
    }


def in_words(machine: dict[str, Any]) -> str:
    """Return the facts as one line."""
    sets = ", ".join(machine["instruction_sets"]) or "instruction sets unknown"
    # Measurements of before have no such fact.
    operators = f"compiled operators {named}; " if (named := machine.get("compiled_operators")) else ""
    return (
        f"{machine['cpu']}, {machine['cores']} cores ({sets}), {machine['memory_gib']} GiB; {operators}"
        f"Python {machine['python']}, onnxruntime {machine['onnxruntime']}, torch {machine['torch']}, "
        f"prefect {machine['prefect']}; {machine['date']}, commit {machine['commit']}"
    )


def this_machine() -> str:
    """Return the facts of this machine as one line."""
    return in_words(facts())


def instruction_sets(cpuinfo: str) -> list[str]:
    """Return the names of the instruction sets that Linux' ``/proc/cpuinfo`` lists."""
    found = re.search(r"(?m)^(?:flags|Features)\s*:(.*)$", cpuinfo)
    flags = set(found[1].split()) if found else set()
    return [name for flag, name in INSTRUCTION_SETS.items() if flag in flags]


def _processor() -> tuple[str, list[str]]:
    name, info = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if not info.is_file():  # not Linux
        return name, []
    text = info.read_text()
    model = re.search(r"model name\s*: (.+)", text)
    return (model[1] if model else name), instruction_sets(text)


def commit() -> str:
    """Return the short hash of the checkout's commit, and whether the files differ from it."""
    try:
        head = _git("rev-parse", "--short", "HEAD").strip()
        changed = _git("status", "--porcelain", "--", ".", *(f":!{path}" for path in _WRITTEN))
    except (OSError, subprocess.CalledProcessError):  # an archive without its history
        return "unknown"
    return f"{head} with changes" if changed else head


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout
