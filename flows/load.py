"""``python -m flows.load``: loads files into the database; loading one twice changes nothing.

A missing value never erases a stored one, and another value replaces it. A file is loaded in one transaction;
of a calendar single contradictory events may be left out, which a note names.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psycopg

from flows.files.calendar_files import read_calendar_file
from flows.files.candle_files import read_candles
from flows.files.frames import TableError, read_table
from flows.files.instruments import instruments
from flows.files.options import ReadOptions
from flows.files.presets import preset_of
from flows.files.text_tables import Table
from flows.loading.addresses import is_web_address, shown
from flows.loading.calendar import load_calendar, store_calendar
from flows.loading.candles import closed_candles, load_candles, store_candles
from flows.loading.credentials import Credentials, read_credentials
from flows.loading.download import DownloadLimits
from flows.loading.instruments import load_instruments
from flows.loading.reading_arguments import add_reading_arguments, read_options
from flows.loading.rows import Loaded
from flows.loading.small_tables import SMALL_TABLES, load_rows
from flows.loading.sources import Item, Span, candle_items, named, read_item, single_item
from flows.runtime.arguments import TIMEFRAME, names_in
from flows.runtime.instruments import known_instruments
from sql.connect import connect
from sql.errors import DatabaseError, one_line

__all__ = ["Loaded", "load_calendar", "load_candles", "load_rows", "main"]


def main(arguments: list[str] | None = None, prog: str = "python -m flows.load") -> int:
    """Run one command and return the exit status."""
    args = _parser(prog).parse_args(arguments)
    try:
        with connect(autocommit=True) as connection:
            for location in args.files:
                for name, loaded in _load(args, connection, location):
                    _report(name, loaded, stored=not getattr(args, "dry_run", False))
    except TableError as error:
        return _fail(str(error))
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        return _fail(f"{one_line(error)}; make the tables with `python -m sql migrate` first")
    except psycopg.Error as error:
        return _fail(one_line(error))
    except DatabaseError as error:
        return _fail(str(error))
    return 0


def _load(
    args: argparse.Namespace, connection: psycopg.Connection[Any], location: str
) -> Iterator[tuple[str, Loaded]]:
    """Load a file, or what a web address gives; yields the name and what was loaded."""
    if not is_web_address(location):
        path = Path(location)
        try:
            table = read_table(path)
            yield path.name, _load_table(args, connection, table, _written_at(path))
        except TableError as error:
            raise TableError(f"{path}: {error}") from None
        return
    credentials = read_credentials(dict(args.header), args.key)
    for item in _items(args, location, credentials):
        try:
            content = read_item(item, credentials, _LIMITS, {}, {})
            assert content is not None  # None stands for an unchanged version, and none is known here
            if item.symbol is not None:
                args = argparse.Namespace(**{**vars(args), "symbols": [item.symbol]})
            table = Table(content.frame, content.described, content.notes)
            yield item.name, _load_table(args, connection, table, content.written_at)
        except TableError as error:
            raise credentials.without_secrets(named(error, item)) from None


def _items(args: argparse.Namespace, location: str, credentials: Credentials) -> list[Item]:
    if args.what != "candles":
        return [single_item(location, _SPAN, credentials)]
    symbols = args.symbols or []
    items = candle_items(location, args.timeframe, symbols, _SPAN, credentials, {})
    if not items:
        raise TableError(f"{shown(location)} is requested for each symbol: name them with --symbols A,B")
    return items


def _load_table(
    args: argparse.Namespace, connection: psycopg.Connection[Any], table: Table, written_at: datetime
) -> Loaded:
    options = read_options(args)
    match args.what:
        case "candles":
            loaded = _load_candles(args, connection, table, options, written_at)
        case "calendar":
            calendar = read_calendar_file(table.frame, options=options)
            _print_understood(args, table, calendar.understood)
            loaded = store_calendar(connection, calendar, replace_schedule=args.replace, dry_run=args.dry_run)
        case "instruments":
            preset_of(options, args.what)
            loaded = load_instruments(connection, instruments(table.frame))
        case small:
            preset_of(options, small)
            check, query = SMALL_TABLES[small]
            loaded = load_rows(connection, check(table.frame), query)
    return replace(loaded, notes=(*table.notes, *loaded.notes))


def _load_candles(
    args: argparse.Namespace,
    connection: psycopg.Connection[Any],
    table: Table,
    options: ReadOptions,
    written_at: datetime,
) -> Loaded:
    known = known_instruments(connection)
    rows = read_candles(table.frame, args.timeframe, args.symbols, known, options)
    _print_understood(args, table, rows.understood)
    file = closed_candles(known, rows, args.timeframe, closed_by=written_at)
    return store_candles(connection, file, args.timeframe, known, dry_run=args.dry_run)


def _print_understood(args: argparse.Namespace, table: Table, understood: Iterable[str]) -> None:
    if args.dry_run:
        for sentence in (f"format: {table.described}", *understood):
            print(sentence, flush=True)


def _written_at(path: Path) -> datetime:
    """Return the latest instant at which the rows of a file can have been written."""
    return min(datetime.fromtimestamp(path.stat().st_mtime, UTC), datetime.now(UTC))


_LIMITS: Final = DownloadLimits(500_000_000, 600.0)
_SPAN: Final = Span(days_back=7, days_ahead=60)
_HELP = {
    "candles": "candles: symbol, timestamp, open, high, low, close and optionally volume, amount",
    "calendar": "economic calendar: event_time, event_type, title and optionally the table's other columns",
    "rates": "central bank decisions: bank, decision_time, rate, previous, forecast",
    "indicators": "economic series: series_id, date, value, known_on; or a file as FRED serves it",
    "instruments": "instruments: symbol, asset_class, calendar and optionally allow_nonpositive, "
    "model_time_zone, active, anchor, aggregate_from, only_whole_candles, stamp, aliases (A;B), "
    "currency, tick_size",
}


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description="Load text, Parquet and JSON files.")
    commands = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    for what, text in _HELP.items():
        command = commands.add_parser(what, help=text, description=text)
        command.add_argument(
            "files",
            nargs="+",
            metavar="FILE",
            help="a .csv, .txt, .tsv, .parquet or .json file, or a web address of one (http, https)",
        )
        command.add_argument(
            "--header",
            action="append",
            default=[],
            type=_header,
            metavar="NAME=VARIABLE",
            help="send a header to a web address, whose value is in the environment variable",
        )
        command.add_argument(
            "--key",
            metavar="VARIABLE",
            help="environment variable whose value replaces {key} in a web address",
        )
        if what == "candles":
            command.add_argument("--timeframe", required=True, **TIMEFRAME)
            command.add_argument(
                "--symbols",
                type=names_in,
                metavar="A,B",
                help="load only these; one symbol names the candles of a file without the column symbol",
            )
        if what == "calendar":
            command.add_argument(
                "--replace",
                action="store_true",
                help="withdraw releases without figures that the file lacks, between the first and the last "
                "that it has of their series: they were moved or cancelled",
            )
        add_reading_arguments(command, what)
    return parser


def _header(text: str) -> tuple[str, str]:
    name, equals, variable = text.partition("=")
    if not (name and equals and variable):
        raise argparse.ArgumentTypeError(
            "expected a header and the environment variable that has its value, such as X-Token=FEED_KEY"
        )
    return name, variable


def _report(name: str, loaded: Loaded, *, stored: bool) -> None:
    total = loaded.new + loaded.changed + loaded.unchanged
    print(
        f"{name}: {total:,} rows, {loaded.new:,} new, {loaded.changed:,} changed, "
        f"{loaded.unchanged:,} unchanged{'' if stored else '; a dry run, nothing was stored'}",
        flush=True,
    )
    for note in loaded.notes:
        print(f"note: {note}", flush=True)


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
