"""Evaluates a checkpoint on candles after its training: ``python -m training evaluate``."""

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
    Forecaster,
    direction_figures,
    quiet_figures,
    random_walk_figures,
    width_figures,
)
from training.evaluation.likelihood import event_likelihood_figures, held_out_windows, likelihood_figures
from training.evaluation.origins import spaced_origins, surprise_origins
from training.record import trained_price_limit

DOLLAR_PAIRS: Final = ("EURUSD", "GBPUSD", "USDJPY")
WIDTH_STEPS: Final = (1, 6)
MAX_CONTEXT: Final = 512


@dataclass(frozen=True)
class Subject:
    """The checkpoint to be evaluated, and the size of the evaluation.

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
    """Measure, write `evaluation.json` and `evaluation.md`, and return the text of the latter.

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
        The checkpoint cannot be loaded or exported.
    """
    if not any(len(stretch) and stretch.timestamps[-1] >= start for stretch in held_out):
        raise TrainingError(f"no candles from {start.astype('datetime64[D]')} on to evaluate with")
    sections: dict[str, list[Figure]] = {}
    began = time.monotonic()
    for title, figures in _sections(subject, training, held_out, start):
        sections[title] = figures
        seconds = time.monotonic() - began
        print(f"{title}: {len(figures)} figures after {seconds:.0f} s", file=sys.stderr, flush=True)
    out.mkdir(parents=True, exist_ok=True)
    record = {title: [asdict(figure) for figure in figures] for title, figures in sections.items()}
    (out / "evaluation.json").write_text(json.dumps(record, indent=1) + "\n")
    text = "\n".join(table(title, figures) for title, figures in sections.items())
    (out / "evaluation.md").write_text(text)
    return text


def _sections(
    subject: Subject, training: Sequence[Stretch], held_out: Sequence[Stretch], start: np.datetime64
) -> Iterator[tuple[str, list[Figure]]]:
    """Yield the titles and figures of the evaluation's tables."""
    checkpoint = load_checkpoint(subject.model, subject.tokenizer)
    events = load_events(subject.events, checkpoint.decoder.config.d_model)
    adapter = load_adapter(subject.adapter, checkpoint.decoder)
    adapted = KronosDecoder(checkpoint.decoder.config).eval()
    adapted.load_state_dict(merged(checkpoint.decoder, adapter))
    limit = trained_price_limit(checkpoint.tokenizer_source.folder)
    windows = held_out_windows(held_out, start, limit)
    yield "Tokens", likelihood_figures(checkpoint, training, windows, limit)
    yield "Event steps", event_likelihood_figures(checkpoint, adapted, events.encoder, windows)
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        export_bundle(Plan(checkpoint, MAX_CONTEXT, events=events, adapter=adapter), bundle)
        engine = Engine.load(bundle, threads=torch.get_num_threads())
        forecaster = Forecaster(engine, subject.lookback, subject.samples)
        origins = spaced_origins(held_out, start, subject.lookback, subject.origins)
        yield "Forecasts without events", random_walk_figures(forecaster, origins, events=False)
        yield "Forecasts with events", random_walk_figures(forecaster, origins, events=True)
        yield (
            "Envelope at releases",
            width_figures(forecaster, _of_dollar_pairs(held_out), start, WIDTH_STEPS),
        )
        quiet = spaced_origins(held_out, start, subject.lookback, subject.origins, quiet=True)
        surprises = surprise_origins(held_out, start, subject.lookback, DOLLAR_PAIRS)
        yield (
            "Quiet days and surprises",
            quiet_figures(forecaster, quiet) + direction_figures(forecaster, surprises),
        )


def _of_dollar_pairs(stretches: Sequence[Stretch]) -> list[Stretch]:
    return [stretch for stretch in stretches if stretch.instrument.symbol in DOLLAR_PAIRS]
