"""Runs ``kronos COMMAND``: dispatches to the commands of the parts, such as ``kronos load candles FILE``.

It uses argparse, as the commands do: for a table of names, a library for command lines would be one more
dependency of every part. A part is imported when its command runs, so that ``kronos --help`` needs none of
them, and a machine has to install only the part that it uses.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final


@dataclass(frozen=True)
class Command:
    """A command of a part.

    Attributes
    ----------
    module
        Module whose function ``main(arguments, prog)`` runs the command and returns the exit status.
    extra
        Extra of the distribution that installs what the module needs.
    summary
        Sentence in ``kronos --help``.
    """

    module: str
    extra: str
    summary: str


COMMANDS: Final = {
    "export": Command("export.__main__", "export", "Export a Kronos checkpoint as an ONNX bundle."),
    "serve": Command("inference_server.__main__", "server", "Serve the bundle in KRONOS_BUNDLE over HTTP."),
    "load": Command(
        "flows.load", "flows", "Load files of candles, calendar and instruments into the database."
    ),
    "predict": Command("flows.predict", "flows", "Forecast from the stored candles and store the envelopes."),
    "score": Command("flows.score", "flows", "Score stored forecasts and learn the calibration from them."),
    "backfill": Command("flows.backfill", "flows", "Make the forecasts that a range of the past lacks."),
    "retention": Command("flows.retention", "flows", "Delete what is no longer needed of old forecasts."),
    "evaluate": Command("flows.evaluate", "flows", "Back-test a bundle on the candles of a period."),
    "deploy": Command(
        "flows.deploy", "flows", "Install work pool, deployments and automations on the Prefect server."
    ),
    "train": Command("training.__main__", "train", "Train or evaluate a tokenizer, a decoder or its events."),
    "db": Command("sql.__main__", "flows", "Migrate, start or stop the database, or print its URL."),
    "up": Command("flows.up", "all", "Start everything on this machine, with schedules; restart what dies."),
    "down": Command("flows.down", "all", "Stop everything that `kronos up` started."),
    "status": Command("flows.status", "all", "Show what runs, the last and next runs, and what is wrong."),
    "backup": Command("sql.backup", "flows", "Write all tables of the database to one file."),
    "restore": Command("sql.restore", "flows", "Restore a backup into an empty database."),
    "demo": Command("flows.demo", "all", "Run everything once on a generated market or a folder of files."),
    "plot": Command("flows.events.__main__", "flows", "Draw the event array of a symbol."),
    "generate": Command("flows.generate", "flows", "Write the files of a generated market."),
    "mend-calendar": Command(
        "flows.mend_calendar", "flows", "Correct calendar rows that claim midnight and only know a date."
    ),
}

_OWN: Final = {"market", *(command.module.partition(".")[0] for command in COMMANDS.values())}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; 2 where the part that it needs is not installed."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    name = _parser().parse_args(words[:1]).command
    command = COMMANDS[name]
    try:
        module = import_module(command.module)
        if name == "plot":  # a subcommand of its module too
            return int(module.main(words, prog="kronos"))
        return int(module.main(words[1:], prog=f"kronos {name}"))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in _OWN:
            raise  # a fault of this distribution, which always has all of its modules
        print(
            f"kronos {name}: the package {error.name} is not installed; install it with "
            f"pip install '.[{command.extra}]'",
            file=sys.stderr,
        )
        return 2


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    parser = argparse.ArgumentParser(
        prog="kronos",
        usage="kronos [-h] COMMAND ...",
        description="Event-conditioned Kronos forecasts. `kronos COMMAND --help` describes a command.",
        epilog="commands:\n"
        + "\n".join(f"  {name:{width}}  {command.summary}" for name, command in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", metavar="COMMAND", choices=COMMANDS, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
