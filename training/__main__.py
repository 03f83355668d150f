"""``python -m training``: train a tokenizer, a decoder or the events of a checkpoint; evaluate one."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import psycopg

from export.errors import ExportError
from export.model.checkpoint import load_checkpoint, load_weights, resolve
from export.model.config import DecoderConfig, TokenizerConfig
from export.model.sizes import SIZES
from export.model.tokenizer import KronosTokenizer
from flows.runtime.arguments import names_in
from market.timeframes import TIMEFRAMES
from sql.connect import connect
from sql.errors import DatabaseError
from training.data.event_arrays import database_sources, folder_sources, with_events
from training.data.stretches import Material, Stretch, TrainingError, read_database, read_folder
from training.evaluation.evaluate import Subject, evaluate
from training.jobs import Job, train_decoder, train_events, train_tokenizer
from training.loop import Schedule

# Licences, by how they begin, that let what is trained be passed on.
LICENCES: Final = "MIT,Apache-2.0,ODC-PDDL"
_Config = TypeVar("_Config", DecoderConfig, TokenizerConfig)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = p.add_subparsers(dest="what", required=True, metavar="tokenizer|decoder|events|evaluate")
    checkpoint = "a directory with config.json and model.safetensors, or a Hugging Face id"
    size = f"one of {', '.join(SIZES)}, or the path of a config.json"
    for what in ("tokenizer", "decoder", "events"):
        command = commands.add_parser(what, help=_HELP[what], description=_HELP[what])
        if what != "events":
            command.add_argument("--size", required=True, help=size)
        if what != "tokenizer":
            command.add_argument("--tokenizer", required=True, help=f"a trained tokenizer: {checkpoint}")
            command.add_argument("--tokenizer-revision", help="its commit, tag or branch on Hugging Face")
        if what == "events":
            command.add_argument("--model", required=True, help=f"the decoder, kept as it is: {checkpoint}")
            command.add_argument("--revision", help="its commit, tag or branch on Hugging Face")
        else:
            command.add_argument(
                "--mirror", action="store_true", help="turn half of the windows upside down, as rates may be"
            )
        _add_common(command, 2000 if what == "decoder" else 1000)
    _add_evaluate(commands.add_parser("evaluate", help=_HELP["evaluate"], description=_HELP["evaluate"]))
    return p


_HELP: Final = {
    "tokenizer": "train a tokenizer from scratch",
    "decoder": "train a decoder from scratch on the tokens of a trained tokenizer",
    "events": "train an EventEncoder and a LoRA adapter on a checkpoint that stays as it is",
    "evaluate": "measure a checkpoint with events on candles after its training, beside honest baselines",
}


def _add_common(command: argparse.ArgumentParser, steps: int) -> None:
    command.add_argument("--out", type=Path, required=True, help="folder of weights, state and training.json")
    command.add_argument(
        "--data",
        type=Path,
        help="folder with candles_1h, candles_1d, economic_calendar (.parquet or .csv) and, optionally, "
        "segments.csv; without it the database is read",
    )
    command.add_argument("--symbols", type=names_in, metavar="A,B", help="train on these; all unless given")
    command.add_argument(
        "--licences",
        type=names_in,
        default=LICENCES,
        help=f"with segments.csv: use segments whose licence begins so; {LICENCES} unless given",
    )
    command.add_argument(
        "--validation-from", type=_date, required=True, help="date from which candles only validate"
    )
    command.add_argument("--until", type=_date, required=True, help="date from which candles are not used")
    command.add_argument("--window", type=int, default=512, help="candles of a window; 512 unless given")
    command.add_argument("--rows", type=int, default=8, help="windows of a step; 8 unless given")
    command.add_argument("--steps", type=int, default=steps, help=f"{steps} unless given")
    command.add_argument("--learning-rate", type=float, default=1e-3, help="at its peak; 1e-3 unless given")
    command.add_argument("--evaluate-every", type=int, default=100, help="steps; 100 unless given")
    command.add_argument(
        "--patience", type=int, default=5, help="validations without gain before stopping; 5 unless given"
    )
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--resume", action="store_true", help="go on from the state in --out")


def _add_evaluate(command: argparse.ArgumentParser) -> None:
    for name, what in (("model", "decoder"), ("tokenizer", "tokenizer")):
        command.add_argument(f"--{name}", required=True, help=f"folder or Hugging Face id of the {what}")
    command.add_argument("--events", type=Path, required=True, help="safetensors file of its EventEncoder")
    command.add_argument("--adapter", type=Path, required=True, help="folder of its LoRA adapter")
    command.add_argument("--data", type=Path, required=True, help="folder of candles and calendar")
    command.add_argument("--train-symbols", type=names_in, metavar="A,B", required=True, help="trained on")
    command.add_argument("--symbols", type=names_in, metavar="A,B", required=True, help="evaluate on these")
    command.add_argument("--timeframe", choices=TIMEFRAMES, default="1h", help="1h unless given")
    command.add_argument("--validation-from", type=_date, required=True, help="where the training ended")
    command.add_argument("--start", type=_date, required=True, help="candles from here on are scored")
    command.add_argument("--until", type=_date, required=True, help="and up to here")
    command.add_argument("--lookback", type=int, default=392, help="392 unless given")
    command.add_argument("--samples", type=int, default=100, help="sample paths; 100 unless given")
    command.add_argument(
        "--origins", type=int, default=200, help="forecasts that are scored; 200 unless given"
    )
    command.add_argument("--out", type=Path, required=True, help="folder of evaluation.md and .json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Train; 0 when the outputs are written, 1 with one line of reason when not."""
    given = parser().parse_args(arguments)
    try:
        if given.what == "evaluate":
            print(_evaluate(given))
            return 0
        job = _job(given)
        if given.what == "tokenizer":
            done = train_tokenizer(_config(given.size, TokenizerConfig), job)
        elif given.what == "decoder":
            tokenizer = _tokenizer(given.tokenizer, given.tokenizer_revision)
            done = train_decoder(_config(given.size, DecoderConfig), tokenizer, job)
        else:
            checkpoint = load_checkpoint(
                given.model, given.tokenizer, given.revision, given.tokenizer_revision
            )
            done = train_events(checkpoint, job)
    except (ExportError, DatabaseError, psycopg.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"interrupted; --resume goes on from the last validation in {given.out}", file=sys.stderr)
        return 130
    print(f"{given.out}: best validation loss {done.best:.4f} at step {done.best_step} of {done.step} run")
    return 0


def _job(given: argparse.Namespace) -> Job:
    split, until = given.validation_from, given.until
    if until <= split:
        raise TrainingError(f"--until {until} must be later than --validation-from {split}")
    stretches = _stretches(given)
    ever = np.datetime64("0001-01-01", "us")
    parts = [
        [part for each in stretches if len(part := each.between(*dates)) >= given.window]
        for dates in ((ever, split), (split, until))
    ]
    schedule = Schedule(given.steps, given.learning_rate, given.seed, given.evaluate_every, given.patience)
    mirror = getattr(given, "mirror", False)
    settings = {
        "validation_from": str(split.astype("datetime64[D]")),
        "until": str(until.astype("datetime64[D]")),
        "mirror": mirror,
        **{what: name for what in ("tokenizer", "model") if (name := getattr(given, what, None))},
    }
    return Job(
        parts[0],
        parts[1],
        given.window,
        given.rows,
        mirror,
        schedule,
        given.out,
        given.resume,
        settings,
    )


def _evaluate(given: argparse.Namespace) -> str:
    """Training licences don't bind an evaluation: every stretch of the data may be forecast."""
    permitted = read_folder(given.data, LICENCES.split(","))
    ever = np.datetime64("0001-01-01", "us")
    training = [
        each.between(ever, given.validation_from) for each in permitted.stretches(given.train_symbols)
    ]
    material = read_folder(given.data, [""])
    held_out = [
        each.between(ever, given.until)
        for each in material.stretches(given.symbols)
        if each.timeframe == given.timeframe and each.timestamps[-1] >= given.start
    ]
    held_out = [each for each in held_out if len(each) > given.lookback]
    told = with_events(held_out, folder_sources(given.data, material))
    subject = Subject(
        given.model,
        given.tokenizer,
        given.events,
        given.adapter,
        given.lookback,
        given.samples,
        given.origins,
    )
    return evaluate(subject, training, told, given.start, given.out)


def _stretches(given: argparse.Namespace) -> list[Stretch]:
    """All stretches that hold a window; with their event arrays where events are trained."""

    def long_enough(material: Material) -> list[Stretch]:
        return [each for each in material.stretches(given.symbols) if len(each) >= given.window]

    if given.data is not None:
        material = read_folder(given.data, given.licences)
        found = long_enough(material)
        return with_events(found, folder_sources(given.data, material)) if given.what == "events" else found
    with connect() as connection:
        found = long_enough(read_database(connection, given.symbols))
        if given.what != "events":
            return found
        return with_events(found, database_sources(connection, found))


def _config(size: str, kind: type[_Config]) -> _Config:
    if size in SIZES:
        both = SIZES[size]
        found = both.tokenizer if kind is TokenizerConfig else both.decoder
        assert isinstance(found, kind)
        return found
    return kind.read(Path(size))


def _tokenizer(name: str, revision: str | None) -> KronosTokenizer:
    folder = resolve(name, revision).folder
    tokenizer = KronosTokenizer(TokenizerConfig.read(folder / "config.json"))
    load_weights(tokenizer, folder / "model.safetensors")
    return tokenizer


def _date(text: str) -> np.datetime64:
    try:
        date: np.datetime64 = np.datetime64(text, "D").astype("datetime64[us]")
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no date like 2021-01-01") from error
    return date


if __name__ == "__main__":
    sys.exit(main())
