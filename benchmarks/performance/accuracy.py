"""Exports the demo's model, which has trained weights, and returns what a precision costs in accuracy."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.models import PRECISIONS
from flows.demonstration.demo_model import CHECKPOINT
from inference_server.engine.bundle import MANIFEST_FILE


def measure() -> list[dict[str, Any]]:
    """Return the figures of each precision but float32, as the export writes them into the manifest."""
    return [
        {"precision": precision, **_figures(precision)} for precision in PRECISIONS if precision != "fp32"
    ]


def _figures(precision: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "demo"
        command = [
            *(sys.executable, "-m", "export"),
            *("--model", str(CHECKPOINT / "model")),
            *("--tokenizer", str(CHECKPOINT / "tokenizer")),
            *("--precision", precision, "--out", str(out)),
            "--accept-accuracy-loss",  # figures out of bounds are to be seen, too
        ]
        subprocess.run(command, check=True)
        figures: dict[str, Any] = json.loads((out / MANIFEST_FILE).read_text())["accuracy"]
        return figures
