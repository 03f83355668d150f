"""Trains a tokenizer, a decoder or the events of a checkpoint, or evaluates one: ``python -m training``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import psycopg

from export.errors import ExportError
from export.model.checkpoint import WEIGHTS_FILE, load_checkpoint, load_weights, resolve
from export.model.config import DecoderConfig, TokenizerConfig
from export.model.sizes import SIZES
from export.model.tokenizer import KronosTokenizer
from sql.connect import connect
from sql.errors import DatabaseError
from training.arguments import LICENCES, parser
from training.data.aggregated import with_timeframes
from training.data.event_arrays import database_sources, folder_sources, with_events
from training.data.stretches import Material, Stretch, TrainingError, read_database, read_folder
from training.evaluation.evaluate import Subject, evaluate
from training.folding import PRICE_LIMIT
from training.jobs import Job, train_decoder, train_events, train_tokenizer
from training.loop import Schedule, TrainingProgress
from training.record import trained_price_limit

_FIRST_INSTANT: Final = np.datetime64("0001-01-01", "us")
_Config = TypeVar("_Config", DecoderConfig, TokenizerConfig)


def main(arguments: Sequence[str] | None = None, prog: str = "python -m training") -> int:
    """Run a command; return 0 when its outputs are written, 1 after an error, 130 after Ctrl-C."""
    args = parser(prog, __doc__).parse_args(arguments)
    try:
        if args.command == "evaluate":
            print(_evaluate(args))
            return 0
        progress = _train(args)
    except (ExportError, DatabaseError, psycopg.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"interrupted; --resume continues from the last validation in {args.out}", file=sys.stderr)
        return 130
    print(
        f"{args.out}: best validation loss {progress.best:.4f} at step {progress.best_step} of "
        f"{progress.step} run"
    )
    return 0


def _train(args: argparse.Namespace) -> TrainingProgress:
    job = _job(args)
    if args.command == "tokenizer":
        return train_tokenizer(_config(args.size, TokenizerConfig), job)
    if args.command == "decoder":
        tokenizer = _load_tokenizer(args.tokenizer, args.tokenizer_revision)
        initial = args.initial and resolve(args.initial, None).folder / WEIGHTS_FILE
        return train_decoder(_config(args.size, DecoderConfig), tokenizer, job, initial)
    return train_events(
        load_checkpoint(args.model, args.tokenizer, args.revision, args.tokenizer_revision), job
    )


def _job(args: argparse.Namespace) -> Job:
    split, until = args.validation_from, args.until
    if until <= split:
        raise TrainingError(f"--until {until} must be later than --validation-from {split}")
    stretches = _stretches(args)
    mirror = getattr(args, "mirror", False)
    named = ("tokenizer", "model", "initial")
    sources = {name: source for name in named if (source := getattr(args, name, None))}
    return Job(
        training=_between(stretches, _FIRST_INSTANT, split, args.window),
        validation=_between(stretches, split, until, args.window),
        window=args.window,
        rows=args.rows,
        mirror=mirror,
        schedule=Schedule(args.steps, args.learning_rate, args.seed, args.evaluate_every, args.patience),
        out=args.out,
        resume=args.resume,
        settings={
            "validation_from": str(split.astype("datetime64[D]")),
            "until": str(until.astype("datetime64[D]")),
            "mirror": mirror,
            **sources,
        },
        price_limit=_price_limit(args),
    )


def _price_limit(args: argparse.Namespace) -> float:
    """Return the range of prices that a new tokenizer learns, or that the given one has."""
    if args.command == "tokenizer":
        return PRICE_LIMIT
    return trained_price_limit(resolve(args.tokenizer, args.tokenizer_revision).folder)


def _stretches(args: argparse.Namespace) -> list[Stretch]:
    """Return all stretches that hold a window, with their event arrays where events are trained."""
    if args.data is not None:
        material = with_timeframes(read_folder(args.data, args.licences), args.timeframes)
        stretches = _long_enough(material, args)
        if args.command == "events":
            return with_events(stretches, folder_sources(args.data, material))
        return stretches
    with connect() as connection:
        material = with_timeframes(read_database(connection, args.symbols), args.timeframes)
        stretches = _long_enough(material, args)
        if args.command == "events":
            return with_events(stretches, database_sources(connection, stretches))
        return stretches


def _long_enough(material: Material, args: argparse.Namespace) -> list[Stretch]:
    return [stretch for stretch in material.stretches(args.symbols) if len(stretch) >= args.window]


def _between(
    stretches: Sequence[Stretch], start: np.datetime64, end: np.datetime64, shortest: int
) -> list[Stretch]:
    parts = [stretch.between(start, end) for stretch in stretches]
    return [part for part in parts if len(part) >= shortest]


def _evaluate(args: argparse.Namespace) -> str:
    """Evaluate on stretches of every licence: licences restrict training only."""
    permitted = with_timeframes(read_folder(args.data, LICENCES.split(",")), args.train_timeframes)
    training = _between(permitted.stretches(args.train_symbols), _FIRST_INSTANT, args.validation_from, 0)
    material = with_timeframes(read_folder(args.data, [""]), [args.timeframe])
    candidates = [
        stretch
        for stretch in material.stretches(args.symbols)
        if stretch.timeframe == args.timeframe and stretch.timestamps[-1] >= args.start
    ]
    held_out = _between(candidates, _FIRST_INSTANT, args.until, args.lookback + 1)
    subject = Subject(
        args.model,
        args.tokenizer,
        args.events,
        args.adapter,
        args.lookback,
        args.samples,
        args.origins,
    )
    stretches = with_events(held_out, folder_sources(args.data, material))
    return evaluate(subject, training, stretches, args.start, args.out)


def _config(size: str, kind: type[_Config]) -> _Config:
    """Return the config of a named size, or that of a file."""
    if size not in SIZES:
        return kind.read(Path(size))
    pair = SIZES[size]
    config = pair.tokenizer if kind is TokenizerConfig else pair.decoder
    assert isinstance(config, kind)
    return config


def _load_tokenizer(name: str, revision: str | None) -> KronosTokenizer:
    folder = resolve(name, revision).folder
    tokenizer = KronosTokenizer(TokenizerConfig.read(folder / "config.json"))
    load_weights(tokenizer, folder / "model.safetensors")
    return tokenizer


if __name__ == "__main__":
    sys.exit(main())
