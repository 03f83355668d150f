"""Checks calendars read from files and gives them the columns of ``economic_calendar``."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import polars as pl

from flows.events import checks
from flows.events.config import EventError, load_config
from flows.events.releases import parse_calendar
from flows.files.calendar_columns import CalendarColumns, calendar_columns
from flows.files.calendar_times import are_unix_times, dates_of_midnights, iso_times, with_known_times
from flows.files.figures import FIGURES, with_figures
from flows.files.frames import UTC_TIME, TableError, conform, refuse
from flows.files.numbers import decimal_sign
from flows.files.options import DEFAULT, Decimal, ReadOptions
from flows.files.presets import with_preset
from flows.files.providers import CALENDARS
from flows.runtime.table_columns import ECONOMIC_CALENDAR
from market.warning_codes import WarningCode, warning

CALENDAR: Final = {name: kind for name, kind in ECONOMIC_CALENDAR.items() if name != "withdrawn_at"}
"""Columns of ``economic_calendar`` that a file can fill."""

KEY: Final = ("event_time", "event_type", "title", "country", "currency", "symbol")
DATING: Final = (
    "published_at",
    "released_at",
    "known_at",
    "known_on",
    "realtime_start",
    "vintage",
    "updated_at",
    "fetched_at",
)
"""Columns with the time from which the figures of a row were known; the first one present is used."""

PROVIDERS: Final = frozenset(provider.name for provider in CALENDARS)
"""Providers whose figures are written with a decimal point."""

_KNOWN: Final = (*CALENDAR, *DATING, *(f"{name}_value" for name in FIGURES))
_VALUES: Final = ("time_known", "scheduled", "actual", "forecast", "previous", "hawkish_score")
_SHOWN: Final = 10


@dataclass(frozen=True)
class CalendarFile:
    """A calendar after all checks, ready to store.

    Attributes
    ----------
    rows
        Columns of `CALENDAR`, one row per event.
    notes
        Warnings about rows that were left out and values that look wrong.
    understood
        Sentences about columns, zone and rows.
    """

    rows: pl.DataFrame
    notes: tuple[str, ...]
    understood: tuple[str, ...] = ()


def calendar(
    frame: pl.DataFrame, timezone: str | None = None, options: ReadOptions = DEFAULT
) -> pl.DataFrame:
    """Return the rows of `read_calendar_file`, and log its notes."""
    file = read_calendar_file(frame, timezone, options)
    for note in file.notes:
        logging.getLogger(__name__).warning("%s", note)
    return file.rows


def read_calendar_file(
    frame: pl.DataFrame, timezone: str | None = None, options: ReadOptions = DEFAULT
) -> CalendarFile:
    """Check calendar rows and give them the columns of ``economic_calendar``.

    If there is a column ``actual_value``, it holds the number and ``actual`` the published text, which is
    dropped; forecast and previous likewise. Earnings without a symbol take it from a title such as "NVDA
    Earnings". Decisions listed as unscheduled in flows/events/events.toml get `scheduled` false unless the
    file has a value. Dates without a time get `time_known` false, see `flows.files.calendar_times`.

    Rows of Finnhub, FMP, Trading Economics and ForexFactory are recognised by their columns, see
    `flows.files.providers`; other files by the names in `flows.files.column_names`.

    Several rows of one event are merged if they agree. If they contradict each other, the figures published
    first are kept, by a column of `DATING`; without one the event is left out and named in a note.

    Parameters
    ----------
    timezone
        Zone of times without one; that of the options, or UTC, for None.
    options
        How the file is read where it leaves that open.

    Raises
    ------
    TableError
        For missing values of event_time, event_type or title, values of a wrong type, an unknown time zone,
        earnings without a symbol, and an order of dates, a decimal sign or a zone that is unsure.
    """
    options = with_preset(options, "calendar")
    options = replace(options, timezone=timezone or options.timezone)
    columns = calendar_columns(frame, options, _KNOWN)
    rows = columns.frame
    figures = [name for name in FIGURES if f"{name}_value" in rows.columns]
    rows = rows.drop(figures, strict=False).rename({f"{name}_value": name for name in figures})
    rows, decimal, figure_notes = _with_figures(rows, columns, options)
    unix = "event_time" in rows.columns and are_unix_times(rows["event_time"])
    if "event_time" in rows.columns:
        rows = rows.with_columns(iso_times(rows["event_time"], options))
    rows = with_known_times(rows, "event_time", options.timezone)
    dating = [name for name in DATING if name in rows.columns]
    schema = CALENDAR | dict.fromkeys(dating, UTC_TIME)
    rows = conform(rows, schema, KEY[:3], KEY, one_per_key=False)
    rows = _with_symbols_of_earnings(rows)
    rows = dates_of_midnights(rows, "event_time") if unix else rows
    rows, left_out = _one_per_event(rows, dating[0] if dating else None)
    decision = pl.col("event_type").is_in(["fomc", "rate_decision"])
    rows = mark_unscheduled(rows, "event_time", decision)
    notes = (*columns.notes, *figure_notes, *left_out, *_warnings(rows))
    return CalendarFile(rows, notes, _understood(rows, columns, decimal, options))


def _with_figures(
    rows: pl.DataFrame, columns: CalendarColumns, options: ReadOptions
) -> tuple[pl.DataFrame, Decimal, list[str]]:
    """Return rows whose figures are numbers, the decimal sign, and notes on figures that are left out."""
    texts = [rows[name] for name in FIGURES if name in rows.columns and rows[name].dtype == pl.String]
    known: Decimal | None = "point" if columns.provider in PROVIDERS else None
    decimal = decimal_sign([text.str.replace("%", "") for text in texts], options.decimal or known)
    read, notes = with_figures(rows, FIGURES, decimal)
    return read, decimal, notes


def _with_symbols_of_earnings(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows whose earnings have the symbol that their title names, if they have none.

    Raises
    ------
    TableError
        Earnings have neither.
    """
    earnings = pl.col("event_type") == "earnings"
    named = pl.col("title").str.extract(r"^(\S+) Earnings$")
    rows = rows.with_columns(symbol=pl.when(earnings).then(pl.coalesce("symbol", named)).otherwise("symbol"))
    refuse(
        rows.filter(earnings & pl.col("symbol").is_null()),
        ["event_time", "title"],
        'earnings need a symbol, in the column symbol or in a title such as "NVDA Earnings"',
    )
    return rows


def _understood(
    rows: pl.DataFrame, columns: CalendarColumns, decimal: Decimal, options: ReadOptions
) -> tuple[str, ...]:
    """Return sentences about how a calendar was read."""
    named = ", ".join(f"{ours} = {theirs}" for ours, theirs in columns.sources.items())
    dates = rows.filter(pl.col("time_known") == False).height  # noqa: E712  # an expression
    times = rows["event_time"].sort()
    span = f"{times[0]:%Y-%m-%d %H:%M} to {times[-1]:%Y-%m-%d %H:%M} UTC" if len(times) else "none"
    return (
        f"columns: {named or ('those of ' + columns.provider if columns.provider else 'those of the table')}",
        f"numbers: decimal {decimal}",
        f"zone: {options.timezone or 'UTC, where a time has none'}",
        f"events: {rows.height:,}, of which {dates:,} have a date and no time; {span}",
    )


def mark_unscheduled(frame: pl.DataFrame, time: str, decision: pl.Expr) -> pl.DataFrame:
    """Set `scheduled` to false, where it is null, for decisions that the configuration lists as unscheduled.

    Raises
    ------
    TableError
        The event configuration can't be read.
    """
    try:
        known = load_config().unscheduled
    except EventError as error:
        raise TableError(str(error)) from None
    listed = pl.col(time).is_in(
        pl.Series(known).cast(pl.Datetime("us")).dt.replace_time_zone("UTC").implode()
    )
    unset = pl.col("scheduled").is_null()
    return frame.with_columns(
        scheduled=pl.when(unset & decision & listed).then(pl.lit(False)).otherwise("scheduled")
    )


def _one_per_event(frame: pl.DataFrame, dating: str | None) -> tuple[pl.DataFrame, list[str]]:
    """Merge the rows of each event; return the rows, and a warning about events that were left out."""
    repeated = pl.struct(KEY).is_duplicated()
    rows = frame.select(list(CALENDAR))
    if not frame.select(repeated.any()).item():
        return rows, []
    merged, left_out = [], []
    for group in frame.filter(repeated).partition_by(list(KEY), maintain_order=True):
        row = _merged(group.to_dicts(), dating)
        if row is None:
            left_out.append(group.row(0, named=True))
        else:
            merged.append({name: row[name] for name in CALENDAR})
    rows = pl.concat([frame.filter(~repeated).select(list(CALENDAR)), pl.DataFrame(merged, schema=CALENDAR)])
    if not left_out:
        return rows, []
    shown = "; ".join(
        f"{row['event_time']:%Y-%m-%d %H:%M} UTC {row['currency'] or ''} {row['title']}"
        for row in left_out[:_SHOWN]
    )
    more = f" and {len(left_out) - _SHOWN} more" if len(left_out) > _SHOWN else ""
    sentence = (
        f"{len(left_out)} events are left out, because several rows give them different figures and no "
        f"column ({', '.join(DATING)}) says which was published first: {shown}{more}"
    )
    return rows, [warning(WarningCode.CALENDAR_ROWS_LEFT_OUT, sentence)]


def _merged(group: Sequence[dict[str, Any]], dating: str | None) -> dict[str, Any] | None:
    """Return the row that the rows of an event merge into, or None if they contradict each other."""
    if not any(len({row[name] for row in group} - {None}) > 1 for name in _VALUES):
        return _completed(group[0], group[1:])
    if dating is None or any(row[dating] is None for row in group):
        return None
    ordered = sorted(group, key=lambda row: row[dating])
    published = [row for row in ordered if row["actual"] is not None]
    first = published[0] if published else ordered[-1]  # not published yet: the latest forecast
    if any(row[dating] == first[dating] and _merged([first, row], None) is None for row in group):
        return None
    before = [row for row in reversed(ordered) if row[dating] <= first[dating]]
    return _completed(first, before)


def _completed(row: dict[str, Any], others: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return a row whose nulls are filled from the first of the other rows with a value."""
    return {
        name: next((other[name] for other in (row, *others) if other[name] is not None), None) for name in row
    }


def _warnings(rows: pl.DataFrame) -> list[str]:
    """Return the warnings about values of tracked releases that look wrong."""
    if rows.is_empty():
        return []
    try:
        parsed = parse_calendar(rows, None, [], load_config())
    except EventError as error:
        return [warning(WarningCode.MISSING_RELEASES, str(error))]
    merged, names = parsed.source.merged, parsed.source.series_rows.names
    span = parsed.rows[0], parsed.rows[-1]
    return [
        *checks.doubtful_releases(merged, names, *span, np.datetime64("now", "us")),
        *checks.impossible_releases(merged, *span),
        *checks.weekend_decisions(merged, names, *span),
        *checks.left_out(parsed.source.too_frequent),
    ]
