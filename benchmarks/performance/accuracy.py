"""Reads from manifests what a precision costs in accuracy, with the demo's trained weights."""

import json
from typing import Any, Final

from benchmarks.models import PRECISIONS, bundle
from inference_server.engine.bundle import MANIFEST_FILE

# The published sizes have random weights here, whose figures say nothing of trained ones.
SIZE: Final = "demo"


def measure() -> list[dict[str, Any]]:
    """Return what the export measured for each precision but float32; nothing where it measured nothing."""
    rows = []
    for precision in PRECISIONS:
        manifest = json.loads((bundle(SIZE, "base-only", precision) / MANIFEST_FILE).read_text())
        if manifest.get("accuracy"):
            rows.append({"precision": precision, **manifest["accuracy"]})
    return rows
