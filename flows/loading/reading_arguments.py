"""Defines the options of the command line that say how a file is read."""

import argparse
from typing import Final, get_args

from flows.files.errors import TableError
from flows.files.options import DateOrder, Decimal, PresetName, ReadOptions, columns_of

_READ: Final = ("candles", "calendar")


def add_reading_arguments(command: argparse.ArgumentParser, what: str) -> None:
    """Add the options that decide what a file of a kind leaves open.

    Parameters
    ----------
    what
        ``candles``, ``calendar``, or one of the small tables, which have only presets.
    """
    if what in (*_READ, "indicators"):
        command.add_argument(
            "--preset",
            choices=get_args(PresetName),
            help="the file is as this provider gives it, where the file itself leaves that open",
        )
    if what not in _READ:
        return
    command.add_argument(
        "--map",
        action="append",
        default=[],
        type=_columns,
        metavar="NAME=COLUMN,…",
        help="the file's name of a column, such as timestamp=Datum,close=Schluss; volume= for none",
    )
    command.add_argument(
        "--timezone",
        metavar="ZONE",
        help="zone of times without one, such as America/New_York; if it is not given, times like "
        "2024-01-31 13:30 are UTC, and other forms are refused",
    )
    command.add_argument(
        "--date-order",
        choices=get_args(DateOrder),
        help="order of the numbers in dates such as 01/02/2024; inferred where the file shows it",
    )
    command.add_argument(
        "--decimal",
        choices=get_args(Decimal),
        help="what stands before the decimals; inferred where the file shows it",
    )
    command.add_argument(
        "--dry-run",
        action="store_true",
        help="print what was understood and what would change, and store nothing",
    )


def read_options(arguments: argparse.Namespace) -> ReadOptions:
    """Return the options of a parsed command line."""
    given = vars(arguments)
    columns = {ours: theirs for part in given.get("map", []) for ours, theirs in part.items()}
    return ReadOptions(
        columns, given.get("timezone"), given.get("date_order"), given.get("decimal"), given.get("preset")
    )


def _columns(text: str) -> dict[str, str]:
    try:
        return columns_of(text)
    except TableError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
