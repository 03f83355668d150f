"""Writes `training.json`: the data, settings, losses and code that made the weights beside it."""

import json
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch

from export.errors import CheckpointError
from export.model.checkpoint import RECORD_FILE
from inference_server.engine.bundle import INSTRUMENTS_CLOCK
from market.normalise import CLIP
from training.data.stretches import Stretch
from training.loop import Schedule, TrainingProgress

PRICE_LIMIT_ENTRY: Final = "price_limit"


def trained_price_limit(tokenizer: Path) -> float:
    """Return the magnitude of normalised prices that a tokenizer was trained to tell apart.

    Where no `training.json` says so, that is 5, at which a forecast clips its history.

    Raises
    ------
    CheckpointError
        The file cannot be read.
    """
    file = tokenizer / RECORD_FILE
    try:
        record = json.loads(file.read_bytes()) if file.is_file() else {}
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {file}: {error}") from error
    limit = record.get(PRICE_LIMIT_ENTRY, CLIP) if isinstance(record, dict) else CLIP
    return float(limit)


def write_record(
    folder: Path,
    kind: str,
    training: Sequence[Stretch],
    validation: Sequence[Stretch],
    schedule: Schedule,
    progress: TrainingProgress,
    settings: dict[str, Any],
) -> None:
    """Write `training.json`.

    Parameters
    ----------
    kind
        ``tokenizer``, ``decoder`` or ``events``.
    settings
        Everything else that made the result: dates, window, rows, base checkpoint, figures.
    """
    record = {
        "trained": kind,
        **settings,
        "schedule": asdict(schedule),
        "steps_run": progress.step,
        "best_step": progress.best_step,
        "best_validation_loss": progress.best,
        "losses": [
            {"step": step, "training": training_loss, "validation": validation_loss}
            for step, training_loss, validation_loss in progress.losses
        ],
        "model_clock": _model_clock([*training, *validation]),
        "training_data": [_described(stretch) for stretch in training],
        "validation_data": [_described(stretch) for stretch in validation],
        "commit": _commit(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    (folder / RECORD_FILE).write_text(json.dumps(record, indent=1) + "\n")


def _model_clock(stretches: Sequence[Stretch]) -> str:
    """Return UTC where the clock of every symbol is UTC, else the word for each symbol's own."""
    zones = {stretch.instrument.model_time_zone for stretch in stretches}
    return "UTC" if zones <= {"UTC"} else INSTRUMENTS_CLOCK


def _described(stretch: Stretch) -> dict[str, Any]:
    return {
        "symbol": stretch.instrument.symbol,
        "timeframe": stretch.timeframe,
        "first": str(stretch.timestamps[0]),
        "last": str(stretch.timestamps[-1]),
        "candles": len(stretch),
        "licence": stretch.licence,
        "origin": stretch.origin,
    }


def _commit() -> str | None:
    """Return the commit of the code, with a plus where files differ from it; None outside a repository."""
    folder = Path(__file__).parent
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "."], cwd=folder, check=False)
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+" if changed.returncode else "")
