"""Exports the checkpoint that comes with the product, in a process of its own."""

import sys
from pathlib import Path
from typing import Final

CHECKPOINT: Final = Path(__file__).resolve().parents[2] / "export" / "kronos_demo"


def export_command(bundle: Path) -> list[str]:
    """Return the users' command that exports the checkpoint to a folder."""
    return [
        *(sys.executable, "-m", "export"),
        *("--model", str(CHECKPOINT / "model")),
        *("--tokenizer", str(CHECKPOINT / "tokenizer")),
        *("--events", str(CHECKPOINT / "events.safetensors")),
        *("--adapter", str(CHECKPOINT / "adapter")),
        *("--out", str(bundle)),
    ]
