"""Checks calendars read from files and gives them the columns of ``economic_calendar``."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from flows.events import checks
from flows.events.config import EventError, load_config
from flows.events.releases import parse_calendar
from flows.files.calendar_times import are_unix_times, dates_of_midnights, with_known_times
from flows.files.frames import UTC_TIME, TableError, conform, refuse
from flows.files.providers import calendar_provider, provider_calendar
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
    """

    rows: pl.DataFrame
    notes: tuple[str, ...]


def calendar(frame: pl.DataFrame, timezone: str | None = None) -> pl.DataFrame:
    """Return the rows of `read_calendar_file`, and log its notes."""
    file = read_calendar_file(frame, timezone)
    for note in file.notes:
        logging.getLogger(__name__).warning("%s", note)
    return file.rows


def read_calendar_file(frame: pl.DataFrame, timezone: str | None = None) -> CalendarFile:
    """Check calendar rows and give them the columns of ``economic_calendar``.

    If there is a column ``actual_value``, it holds the number and ``actual`` the published text, which is
    dropped; forecast and previous likewise. Earnings without a symbol take it from a title such as "NVDA
    Earnings". Decisions listed as unscheduled in flows/events/events.toml get `scheduled` false unless the
    file has a value. Dates without a time get `time_known` false, see `flows.files.calendar_times`.

    Rows of Finnhub, FMP, Trading Economics and ForexFactory are recognised by their columns, see
    `flows.files.providers`.

    Several rows of one event are merged if they agree. If they contradict each other, the figures published
    first are kept, by a column of `DATING`; without one the event is left out and named in a note.

    Parameters
    ----------
    timezone
        Zone of times without one; UTC for None.

    Raises
    ------
    TableError
        For missing values of event_time, event_type or title, values of a wrong type, an unknown time zone,
        and earnings without a symbol.
    """
    provider, provider_notes = calendar_provider(frame), list[str]()
    if provider is not None:
        frame, provider_notes = provider_calendar(frame, provider)
    figures = [name for name in ("actual", "forecast", "previous") if f"{name}_value" in frame.columns]
    frame = frame.drop(figures, strict=False).rename({f"{name}_value": name for name in figures})
    unix = "event_time" in frame.columns and are_unix_times(frame["event_time"])
    frame = with_known_times(frame, "event_time", timezone)
    dating = [name for name in DATING if name in frame.columns]
    schema = CALENDAR | dict.fromkeys(dating, UTC_TIME)
    frame = conform(frame, schema, KEY[:3], KEY, one_per_key=False)
    earnings = pl.col("event_type") == "earnings"
    named = pl.col("title").str.extract(r"^(\S+) Earnings$")
    frame = frame.with_columns(
        symbol=pl.when(earnings).then(pl.coalesce("symbol", named)).otherwise("symbol")
    )
    refuse(
        frame.filter(earnings & pl.col("symbol").is_null()),
        ["event_time", "title"],
        'earnings need a symbol, in the column symbol or in a title such as "NVDA Earnings"',
    )
    frame = dates_of_midnights(frame, "event_time") if unix else frame
    rows, left_out = _one_per_event(frame, dating[0] if dating else None)
    decision = pl.col("event_type").is_in(["fomc", "rate_decision"])
    rows = mark_unscheduled(rows, "event_time", decision)
    return CalendarFile(rows, (*provider_notes, *left_out, *_warnings(rows)))


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
