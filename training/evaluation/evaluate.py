"""``python -m training evaluate``: what a checkpoint is worth on candles that it never saw."""

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch

from export.bundle import Plan, export_bundle
from export.model.adapter import load_adapter, merged
from export.model.checkpoint import load_checkpoint
from export.model.decoder import KronosDecoder
from export.model.event_encoder import load_events
from inference_server.engine.engine import Engine
from training.data.stretches import Stretch, TrainingError
from training.evaluation.bootstrap import Figure, table
from training.evaluation.forecasts import (
    Paths,
    direction_figures,
    quiet_figures,
    spaced_origins,
    surprise_origins,
    walk_figures,
    width_figures,
)
from training.evaluation.likelihood import event_likelihood_figures, held_out_windows, likelihood_figures

DOLLAR_PAIRS: Final = ("EURUSD", "GBPUSD", "USDJPY")
WIDTH_STEPS: Final = (1, 6)
MAX_CONTEXT: Final = 512


@dataclass(frozen=True)
class Subject:
    """The checkpoint to be evaluated, and how forecasts are asked of it.

    Attributes
    ----------
    model, tokenizer
        As `python -m export` takes them.
    events, adapter
        Its EventEncoder and LoRA adapter.
    lookback, samples, origins
        Candles of history, sample paths, and forecasts scored against the random walk.
    """

    model: str
    tokenizer: str
    events: Path
    adapter: Path
    lookback: int
    samples: int
    origins: int


def evaluate(
    subject: Subject,
    training: Sequence[Stretch],
    held_out: Sequence[Stretch],
    start: np.datetime64,
    out: Path,
) -> str:
    """Measure everything, write `evaluation.json` and `evaluation.md`, and return the latter's text.

    Parameters
    ----------
    training
        Stretches up to the split date, whose tokens the baselines count.
    held_out
        Stretches with their event arrays; candles from `start` on are scored, those before are history.

    Raises
    ------
    TrainingError
        No candle of the stretches is at `start` or later.
    ExportError
        The checkpoint can't be loaded or exported.
    """
    if not any(len(each) and each.timestamps[-1] >= start for each in held_out):
        raise TrainingError(f"no candles from {start.astype('datetime64[D]')} on to evaluate with")
    found: dict[str, list[Figure]] = {}
    since = time.monotonic()
    for title, figures in _figures(subject, training, held_out, start):
        found[title] = figures
        print(
            f"{title}: {len(figures)} figures after {time.monotonic() - since:.0f} s",
            file=sys.stderr,
            flush=True,
        )
    out.mkdir(parents=True, exist_ok=True)
    record = {title: [asdict(figure) for figure in figures] for title, figures in found.items()}
    (out / "evaluation.json").write_text(json.dumps(record, indent=1) + "\n")
    text = "\n".join(table(title, figures) for title, figures in found.items())
    (out / "evaluation.md").write_text(text)
    return text


def _figures(
    subject: Subject, training: Sequence[Stretch], held_out: Sequence[Stretch], start: np.datetime64
) -> Iterator[tuple[str, list[Figure]]]:
    checkpoint = load_checkpoint(subject.model, subject.tokenizer)
    events = load_events(subject.events, checkpoint.decoder.config.d_model)
    adapter = load_adapter(subject.adapter, checkpoint.decoder)
    told = KronosDecoder(checkpoint.decoder.config).eval()
    told.load_state_dict(merged(checkpoint.decoder, adapter))
    windows = held_out_windows(held_out, start)
    yield "Tokens", likelihood_figures(checkpoint, training, windows)
    yield "Event steps", event_likelihood_figures(checkpoint, told, events.encoder, windows)
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        export_bundle(Plan(checkpoint, MAX_CONTEXT, events=events, adapter=adapter), bundle)
        engine = Engine.load(bundle, threads=torch.get_num_threads())
        paths = Paths(engine, subject.lookback, subject.samples)
        origins = spaced_origins(held_out, start, subject.lookback, subject.origins)
        yield "Forecasts without events", walk_figures(paths, origins, events=False)
        yield "Forecasts with events", walk_figures(paths, origins, events=True)
        yield "Envelope at releases", width_figures(paths, _dollar(held_out), start, WIDTH_STEPS)
        quiet = spaced_origins(held_out, start, subject.lookback, subject.origins, quiet=True)
        surprises = surprise_origins(held_out, start, subject.lookback, DOLLAR_PAIRS)
        yield (
            "Quiet days and surprises",
            quiet_figures(paths, quiet) + direction_figures(paths, surprises),
        )


def _dollar(stretches: Sequence[Stretch]) -> list[Stretch]:
    return [each for each in stretches if each.instrument.symbol in DOLLAR_PAIRS]
