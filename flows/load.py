"""``python -m flows.load``: loads files into the database; loading one twice changes nothing.

A missing value never erases a stored one, and another value replaces it. A file is loaded in one transaction;
of a calendar single contradictory events may be left out, which a note names.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
from psycopg.abc import Query
from rich.console import Console
from rich.progress import Progress

from flows.files import feeds
from flows.files.calendar_files import read_calendar_file
from flows.files.calendar_replace import Withdrawal, plan_withdrawal, withdraw
from flows.files.candle_notes import candle_notes
from flows.files.frames import TableError, read_file
from flows.forecasting.candles import read_candles
from flows.forecasting.universe import known_instruments
from flows.runtime.arguments import names_in
from market.instruments import default_instruments
from market.timeframes import CANDLE_TABLE, TIMEFRAMES
from sql.connect import connect
from sql.errors import DatabaseError, one_line
from sql.loading import load, load_for_table

_CHUNK = 50_000  # rows sent to the server at once
_FEW = 12  # candles of a symbol that are checked together with stored ones before them


@dataclass(frozen=True)
class Loaded:
    """Numbers of rows that were new, changed a stored row or were stored already, and notes on the file."""

    new: int
    changed: int
    unchanged: int
    notes: tuple[str, ...] = field(default=(), compare=False)


def load_candles(
    connection: psycopg.Connection[Any], frame: pl.DataFrame, timeframe: str, symbols: list[str] | None = None
) -> Loaded:
    """Upsert candles and register symbols that the table ``instruments`` lacks, in one transaction.

    A few candles of a symbol are checked together with the stored ones before them.

    Parameters
    ----------
    connection
        Connection in autocommit mode.
    frame, timeframe, symbols
        Passed to `flows.files.feeds.candles`.

    Raises
    ------
    TableError
        Candles are refused, or a symbol is neither in ``instruments`` nor a default instrument.
    psycopg.Error
        The database fails; nothing is stored then.
    """
    known = known_instruments(connection)
    exempt = [symbol for symbol, instrument in known.items() if instrument.allow_nonpositive]
    candles = feeds.candles(frame, timeframe, symbols, exempt)
    with connection.transaction():
        _register(connection, candles["symbol"].unique().to_list())
        upsert = load_for_table("upsert_candles", CANDLE_TABLE[timeframe])
        loaded = _copy(connection, candles, "candles", upsert)
        checked = _with_stored_before(connection, candles, timeframe)
        feeds.check_spacing(checked, timeframe)
    if symbols is not None and "symbol" in frame.columns:
        frame = frame.filter(pl.col("symbol").is_in(symbols))
    repeated = frame.height - candles.height
    dropped = [f"{repeated:,} rows repeat another and were dropped"] if repeated else []
    return replace(loaded, notes=(*dropped, *candle_notes(checked, timeframe, known)))


def _with_stored_before(
    connection: psycopg.Connection[Any], candles: pl.DataFrame, timeframe: str
) -> pl.DataFrame:
    """Return newly stored candles; symbols with fewer than `_FEW` also have their last ones before those."""
    few = pl.len().over("symbol") < _FEW
    short = candles.filter(few)
    if short.is_empty():
        return candles
    symbols = short["symbol"].unique().to_list()
    end = datetime.fromisoformat(str(short["ts"].max())) + timedelta(microseconds=1)
    return pl.concat([candles.filter(~few), read_candles(connection, timeframe, symbols, _FEW, end)])


def load_calendar(
    connection: psycopg.Connection[Any],
    frame: pl.DataFrame,
    timezone: str | None = None,
    *,
    replace_schedule: bool = False,
    dry_run: bool = False,
) -> Loaded:
    """Upsert rows of the economic calendar, as `flows.files.calendar_files` takes them, in one transaction.

    Parameters
    ----------
    timezone
        Zone of times without one; UTC unless given.
    replace_schedule
        Whether releases without figures that the file lacks are withdrawn
        (`flows.files.calendar_replace`).
    dry_run
        Report the changes without storing them.

    Raises
    ------
    TableError
        Rows are refused.
    psycopg.Error
        The database fails; nothing is stored then.
    """
    file = read_calendar_file(frame, timezone)
    notes = list(file.notes)
    with connection.transaction() as transaction:
        plan = plan_withdrawal(connection, file.rows) if replace_schedule else None
        loaded = _copy(connection, file.rows, "calendar", load("upsert_calendar"))
        if plan is not None:
            withdraw(connection, plan.rows)
            notes += _withdrawal_notes(plan, dry_run=dry_run)
        if dry_run:
            raise psycopg.Rollback(transaction)
    return replace(loaded, notes=tuple(notes))


def _withdrawal_notes(plan: Withdrawal, *, dry_run: bool) -> list[str]:
    verb = "would be withdrawn" if dry_run else "withdrawn"
    return [
        *plan.notes,
        *(
            f"{verb}: {row['event_time']:%Y-%m-%d %H:%M} UTC {row['currency'] or row['symbol'] or ''} "
            f"{row['title']}"
            for row in plan.rows.to_dicts()
        ),
    ]


def load_market(connection: psycopg.Connection[Any], frames: Mapping[str, pl.DataFrame]) -> list[str]:
    """Load candles and a calendar by the names of `flows.files.market_folder.FILES`; return notes on them.

    Parameters
    ----------
    connection
        In autocommit mode. Each frame is loaded in a transaction of its own.

    Raises
    ------
    TableError
        Rows are refused.
    psycopg.Error
        The database fails.
    """
    notes = []
    for timeframe in TIMEFRAMES:
        name = f"candles_{timeframe}"
        if name in frames:
            load_candles(connection, frames[name], timeframe)
    if "economic_calendar" in frames:
        loaded = load_calendar(connection, frames["economic_calendar"])
        notes += [f"economic_calendar: {note}" for note in loaded.notes]
    return notes


def load_rows(connection: psycopg.Connection[Any], rows: pl.DataFrame, query: str) -> Loaded:
    """Upsert a frame that has the columns of a small table, row by row, in one transaction.

    Parameters
    ----------
    rows
        Returned by a function of `flows.files.feeds`.
    query
        Name of an upsert that returns a row for each row that it wrote.

    Raises
    ------
    psycopg.Error
        The database fails; nothing is stored then.
    """
    new = written = 0
    with connection.transaction(), connection.cursor() as cursor:
        if not rows.is_empty():
            cursor.executemany(load(query), rows.to_dicts(), returning=True)
            while True:
                for (inserted,) in cursor:
                    new, written = new + inserted, written + 1
                if not cursor.nextset():
                    break
    return Loaded(new, written - new, rows.height - written)


def _register(connection: psycopg.Connection[Any], symbols: list[str]) -> None:
    """Insert the default instruments of symbols that the table ``instruments`` lacks."""
    stored = {row[0] for row in connection.execute(load("instruments"))}
    known = default_instruments()
    unregistered = sorted(set(symbols) - stored)
    unknown = [symbol for symbol in unregistered if symbol not in known]
    if unknown:
        raise TableError(
            f"the trading hours of {', '.join(unknown)} are unknown: first load a file with the columns "
            "symbol, asset_class, calendar (python -m flows.load instruments FILE), for example the line "
            f"{unknown[0]},equity,XNYS"
        )
    for symbol in unregistered:
        connection.execute(load("register_instruments"), vars(known[symbol]))


def _copy(connection: psycopg.Connection[Any], rows: pl.DataFrame, stage: str, upsert: Query) -> Loaded:
    """Copy rows to a staging table and upsert them from there."""
    connection.execute(load(f"stage_{stage}"))
    console = Console(stderr=True)
    with (
        Progress(console=console, transient=True, disable=not console.is_terminal) as progress,
        connection.cursor().copy(load(f"copy_{stage}")) as copy,
    ):
        task = progress.add_task("sending rows", total=rows.height)
        for chunk in rows.iter_slices(_CHUNK):
            copy.write(chunk.write_csv(include_header=False))
            progress.advance(task, chunk.height)
    written = connection.execute(upsert).fetchone()
    assert written is not None  # an aggregate has one row
    new, changed = written
    return Loaded(new, changed, rows.height - new - changed)


def main(arguments: list[str] | None = None, prog: str = "python -m flows.load") -> int:
    """Run one command and return the exit status."""
    args = _parser(prog).parse_args(arguments)
    try:
        with connect(autocommit=True) as connection:
            for path in args.files:
                _report(path, _load(args, connection, path), stored=not getattr(args, "dry_run", False))
    except TableError as error:
        return _fail(f"{path}: {error}")
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        return _fail(f"{one_line(error)}; make the tables with `python -m sql migrate` first")
    except psycopg.Error as error:
        return _fail(one_line(error))
    except DatabaseError as error:
        return _fail(str(error))
    return 0


def _load(args: argparse.Namespace, connection: psycopg.Connection[Any], path: Path) -> Loaded:
    frame = read_file(path)
    match args.what:
        case "candles":
            return load_candles(connection, frame, args.timeframe, args.symbols)
        case "calendar":
            return load_calendar(
                connection, frame, args.timezone, replace_schedule=args.replace, dry_run=args.dry_run
            )
    check, query = _SMALL_TABLES[args.what]
    return load_rows(connection, check(frame), query)


_SMALL_TABLES: dict[str, tuple[Callable[[pl.DataFrame], pl.DataFrame], str]] = {
    "rates": (feeds.rates, "upsert_central_bank_rates"),
    "indicators": (feeds.indicators, "upsert_economic_indicators"),
    "instruments": (feeds.instruments, "upsert_instruments"),
}
_HELP = {
    "candles": "candles: symbol, timestamp, open, high, low, close and optionally volume, amount",
    "calendar": "economic calendar: event_time, event_type, title and optionally the table's other columns",
    "rates": "central bank decisions: bank, decision_time, rate, previous, forecast",
    "indicators": "economic series: series_id, date, value, known_on; or a file as FRED serves it",
    "instruments": "instruments: symbol, asset_class, calendar and optionally allow_nonpositive, "
    "model_time_zone, active",
}


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description="Load CSV, Parquet and JSON files.")
    commands = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    for what, text in _HELP.items():
        command = commands.add_parser(what, help=text, description=text)
        command.add_argument(
            "files", nargs="+", type=Path, metavar="FILE", help="a .csv, .parquet or .json file"
        )
        if what == "candles":
            command.add_argument("--timeframe", required=True, choices=TIMEFRAMES)
            command.add_argument(
                "--symbols",
                type=names_in,
                metavar="A,B",
                help="load only these; one symbol names the candles of a file without the column symbol",
            )
        if what == "calendar":
            command.add_argument(
                "--timezone",
                metavar="ZONE",
                help="zone of times without one, such as America/New_York; UTC unless given",
            )
            command.add_argument(
                "--replace",
                action="store_true",
                help="withdraw releases without figures that the file lacks, between the first and the last "
                "that it has of their series: they were moved or cancelled",
            )
            command.add_argument(
                "--dry-run", action="store_true", help="report the changes without storing them"
            )
    return parser


def _report(path: Path, loaded: Loaded, *, stored: bool) -> None:
    total = loaded.new + loaded.changed + loaded.unchanged
    print(
        f"{path.name}: {total:,} rows, {loaded.new:,} new, {loaded.changed:,} changed, "
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
