"""Parses the command line of ``python -m training``."""

import argparse
from pathlib import Path
from typing import Final

import numpy as np

from export.model.sizes import SIZES
from flows.runtime.arguments import TIMEFRAME, names_in, timeframe

LICENCES: Final = "MIT,Apache-2.0,ODC-PDDL"
"""Beginnings of the names of licences that permit passing trained weights on."""

_CHECKPOINT: Final = "a directory with config.json and model.safetensors, or a Hugging Face id"
_HELP: Final = {
    "tokenizer": "train a tokenizer from scratch",
    "decoder": "train a decoder from scratch on the tokens of a trained tokenizer",
    "events": "train an EventEncoder and a LoRA adapter on a checkpoint that stays as it is",
    "evaluate": "measure a checkpoint with events on candles after its training, beside baselines",
}


def parser(prog: str, description: str | None = None) -> argparse.ArgumentParser:
    """Return the parser; the attribute ``command`` of its result is the name of the subcommand."""
    arguments = argparse.ArgumentParser(prog=prog, description=description)
    commands = arguments.add_subparsers(
        dest="command", required=True, metavar="tokenizer|decoder|events|evaluate"
    )
    for name, add_options in (
        ("tokenizer", _add_tokenizer),
        ("decoder", _add_decoder),
        ("events", _add_events),
        ("evaluate", _add_evaluate),
    ):
        add_options(commands.add_parser(name, help=_HELP[name], description=_HELP[name]))
    return arguments


def _add_tokenizer(command: argparse.ArgumentParser) -> None:
    _add_size(command)
    _add_mirror(command)
    _add_training(command, steps=1000)


def _add_decoder(command: argparse.ArgumentParser) -> None:
    _add_size(command)
    _add_trained_tokenizer(command)
    command.add_argument(
        "--from",
        dest="initial",
        metavar="CHECKPOINT",
        help=f"begin with the weights of a decoder of this size instead of random ones: {_CHECKPOINT}",
    )
    _add_mirror(command)
    _add_training(command, steps=2000)


def _add_events(command: argparse.ArgumentParser) -> None:
    _add_trained_tokenizer(command)
    command.add_argument("--model", required=True, help=f"the decoder, kept as it is: {_CHECKPOINT}")
    command.add_argument("--revision", help="its commit, tag or branch on Hugging Face")
    _add_training(command, steps=1000)


def _add_size(command: argparse.ArgumentParser) -> None:
    sizes = ", ".join(SIZES)
    command.add_argument("--size", required=True, help=f"one of {sizes}, or the path of a config.json")


def _add_trained_tokenizer(command: argparse.ArgumentParser) -> None:
    command.add_argument("--tokenizer", required=True, help=f"a trained tokenizer: {_CHECKPOINT}")
    command.add_argument("--tokenizer-revision", help="its commit, tag or branch on Hugging Face")


def _add_timeframes(command: argparse.ArgumentParser, name: str) -> None:
    command.add_argument(
        name,
        type=timeframes_in,
        metavar="1h,1d",
        help="train on these, aggregated from a finer one where a symbol has no candles of its own; "
        "those that are stored unless given",
    )


def _add_mirror(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--mirror", action="store_true", help="turn half of the windows upside down, as suits exchange rates"
    )


def _add_training(command: argparse.ArgumentParser, steps: int) -> None:
    command.add_argument("--out", type=Path, required=True, help="folder of weights, state and training.json")
    command.add_argument(
        "--data",
        type=Path,
        help="folder with candles_1h, candles_1d, economic_calendar (.parquet or .csv) and, optionally, "
        "segments.csv; the database unless given",
    )
    command.add_argument("--symbols", type=names_in, metavar="A,B", help="train on these; all unless given")
    _add_timeframes(command, "--timeframes")
    command.add_argument(
        "--licences",
        type=names_in,
        default=LICENCES,
        help="with segments.csv: use segments whose licence begins with one of these; "
        f"{LICENCES} unless given",
    )
    command.add_argument(
        "--validation-from", type=_date, required=True, help="date from which candles are only validated on"
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
    command.add_argument("--resume", action="store_true", help="continue from the state in --out")


def _add_evaluate(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", required=True, help="folder or Hugging Face id of the decoder")
    command.add_argument("--tokenizer", required=True, help="folder or Hugging Face id of the tokenizer")
    command.add_argument("--events", type=Path, required=True, help="safetensors file of its EventEncoder")
    command.add_argument("--adapter", type=Path, required=True, help="folder of its LoRA adapter")
    command.add_argument("--data", type=Path, required=True, help="folder of candles and calendar")
    command.add_argument("--train-symbols", type=names_in, metavar="A,B", required=True, help="trained on")
    _add_timeframes(command, "--train-timeframes")
    command.add_argument("--symbols", type=names_in, metavar="A,B", required=True, help="evaluate on these")
    command.add_argument("--timeframe", default="1h", help="1h unless given", **TIMEFRAME)
    command.add_argument("--validation-from", type=_date, required=True, help="where the training ended")
    command.add_argument("--start", type=_date, required=True, help="candles from this date on are scored")
    command.add_argument("--until", type=_date, required=True, help="candles from this date on are not used")
    command.add_argument("--lookback", type=int, default=392, help="392 unless given")
    command.add_argument("--samples", type=int, default=100, help="sample paths; 100 unless given")
    command.add_argument(
        "--origins", type=int, default=200, help="forecasts that are scored; 200 unless given"
    )
    command.add_argument("--out", type=Path, required=True, help="folder of evaluation.md and .json")


def timeframes_in(text: str) -> list[str]:
    """Return the timeframes in a list like ``1h, 240m``, each once; a type of argparse."""
    return list(dict.fromkeys(timeframe(name) for name in names_in(text)))


def _date(text: str) -> np.datetime64:
    """Return the midnight that begins a date, in UTC."""
    try:
        date: np.datetime64 = np.datetime64(text, "D").astype("datetime64[us]")
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date such as 2021-01-01") from error
    return date
