"""`training.json`: what the weights beside it were trained on, how, and how it went."""

import json
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from export.model.checkpoint import RECORD_FILE
from inference_server.engine.bundle import INSTRUMENTS_CLOCK
from training.data.stretches import Stretch
from training.loop import Progression, Schedule


def write_record(
    folder: Path,
    what: str,
    training: Sequence[Stretch],
    validation: Sequence[Stretch],
    schedule: Schedule,
    done: Progression,
    settings: dict[str, Any],
) -> None:
    """Write `training.json`.

    Parameters
    ----------
    what
        ``tokenizer``, ``decoder`` or ``events``.
    settings
        What else made the result: dates, window, rows, base checkpoint, figures.
    """
    record = {
        "trained": what,
        **settings,
        "schedule": asdict(schedule),
        "steps_run": done.step,
        "best_step": done.best_step,
        "best_validation_loss": done.best,
        "losses": [dict(zip(("step", "training", "validation"), each, strict=True)) for each in done.losses],
        "model_clock": _clock([*training, *validation]),
        "training_data": _listed(training),
        "validation_data": _listed(validation),
        "commit": _commit(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    (folder / RECORD_FILE).write_text(json.dumps(record, indent=1) + "\n")


def _clock(stretches: Sequence[Stretch]) -> str:
    """UTC where every symbol's clock is, else each symbol's own."""
    zones = {each.instrument.model_time_zone for each in stretches}
    return "UTC" if zones <= {"UTC"} else INSTRUMENTS_CLOCK


def _listed(stretches: Sequence[Stretch]) -> list[dict[str, Any]]:
    return [
        {
            "symbol": each.instrument.symbol,
            "timeframe": each.timeframe,
            "first": str(each.timestamps[0]),
            "last": str(each.timestamps[-1]),
            "candles": len(each),
            "licence": each.licence,
            "origin": each.origin,
        }
        for each in stretches
    ]


def _commit() -> str | None:
    """The commit of the code, with a plus where files differ from it; None outside a repository."""
    here = Path(__file__).parent
    try:
        name = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "."], cwd=here, check=False)
    except (OSError, subprocess.CalledProcessError):
        return None
    return name + ("+" if changed.returncode else "")
