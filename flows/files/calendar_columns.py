"""Finds the columns of a calendar in a file, whatever names it has, and its times and figures as they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from flows.files.candle_columns import given_columns
from flows.files.column_names import CALENDAR, found, normal_name
from flows.files.errors import TableError
from flows.files.options import ReadOptions
from flows.files.presets import preset_of
from flows.files.providers import calendar_provider, provider_calendar, with_event_types
from flows.files.time_columns import time_columns
from flows.files.written_times import joined_texts

_WITHOUT_TIME: Final = r"(?i)[\sT,]*\b(?:all[ -]?day|tentative|holiday|day \d+|tb[ad])$"
_CURRENCIES: Final = r"^(?:[A-Z]{3}|All|)$"


@dataclass(frozen=True)
class CalendarColumns:
    """A calendar with our column names, and the file's values.

    Attributes
    ----------
    frame
        Columns of ``economic_calendar`` and those that date figures.
    provider
        Name of the provider that was recognised, None for another file.
    sources
        The file's name of each column.
    notes
        Sentences about columns that are not used.
    """

    frame: pl.DataFrame
    provider: str | None
    sources: Mapping[str, str]
    notes: tuple[str, ...]


def calendar_columns(frame: pl.DataFrame, options: ReadOptions, known: tuple[str, ...]) -> CalendarColumns:
    """Return the columns of a calendar under our names.

    Parameters
    ----------
    known
        Our names.

    Raises
    ------
    TableError
        The options name a column that isn't there, a title or a time is missing, or the event configuration
        can't be read.
    """
    given = given_columns(frame, options.columns, known)
    renamed = frame.drop([name for name in given if name in frame.columns and name not in given.values()])
    renamed = renamed.rename({theirs: ours for ours, theirs in given.items()})
    renamed = renamed.drop([ours for ours, theirs in options.columns.items() if not theirs], strict=False)
    provider = calendar_provider(renamed) if not given else None
    if provider is not None:
        rows = provider_calendar(renamed, provider)
        return CalendarColumns(_without_words(rows), provider.name, {}, ())
    own = {"event_time", "title"} <= set(frame.columns)
    rows, sources, notes = (renamed, given, []) if own else _named(renamed, options)
    unused = [name for name in rows.columns if name not in known]
    if unused:
        shown = ", ".join(name or "(without a name)" for name in unused)
        notes = [f"columns that are not used: {shown}", *notes]
    return CalendarColumns(_without_words(rows.drop(unused)), options.preset, sources, tuple(notes))


def _named(frame: pl.DataFrame, options: ReadOptions) -> tuple[pl.DataFrame, dict[str, str], list[str]]:
    """Return a file's calendar under our names, with types of events, the names it had, and notes."""
    by_name = {normal_name(name): name for name in reversed(frame.columns)}
    sources = {ours: columns[0] for ours, names in CALENDAR.items() if (columns := found(names, by_name))}
    times = ["event_time"] if "event_time" in frame.columns else time_columns(frame, by_name)
    if not times or "title" not in sources:
        missing = [
            name for name, there in (("event_time", times), ("title", "title" in sources)) if not there
        ]
        raise TableError(
            f"missing columns: {', '.join(missing)}; its columns are {', '.join(frame.columns)}; expected "
            "event_time, event_type, title and optionally the others of economic_calendar; if "
            f"{missing[0]} has another name there, give --map {missing[0]}=NAME"
        )
    if "currency" not in sources and "country" in sources and _are_currencies(frame[sources["country"]]):
        sources["currency"] = sources.pop("country")
    preset, notes = preset_of(options, "calendar"), list[str]()
    if preset is not None and preset.blanks_repeat and len(times) == 2:
        frame, notes = _with_repeated_times(frame, *times)
    used = {*sources.values(), *times}
    rows = frame.select(
        *(pl.col(theirs).alias(ours) for ours, theirs in sources.items()),
        *(name for name in frame.columns if name not in used),
    )
    text = frame[times[0]] if len(times) == 1 else joined_texts(*frame.select(times))
    rows = rows.with_columns(text.alias("event_time"))
    if "event_type" not in rows.columns:
        rows = with_event_types(rows)
    if options.preset is not None:
        rows = rows.with_columns(source=pl.lit(options.preset))
    theirs = {"event_time": " and ".join(times), **sources}
    return rows, {ours: options.columns.get(ours, name) for ours, name in theirs.items()}, notes


def _with_repeated_times(frame: pl.DataFrame, date: str, time: str) -> tuple[pl.DataFrame, list[str]]:
    """Return a calendar whose blank dates and times of day are those of the row above, and a note on them.

    A time of day is carried within its date alone.
    """
    given = frame.select(
        pl.col(name).cast(pl.String).str.strip_chars().replace("", None) for name in (date, time)
    )
    dates = given[date].forward_fill()
    filled = given.with_columns(dates, pl.col(time).forward_fill().over(dates.rle_id()))
    carried = sum(before != after for before, after in zip(given.rows(), filled.rows(), strict=True))
    if not carried:
        return frame, []
    return frame.with_columns(filled), [
        f"{carried:,} rows without a date or a time of day have that of the row above"
    ]


def _are_currencies(values: pl.Series) -> bool:
    return values.dtype == pl.String and bool(
        values.drop_nulls().str.strip_chars().str.contains(_CURRENCIES).all()
    )


def _without_words(rows: pl.DataFrame) -> pl.DataFrame:
    """Return a calendar whose times have no word such as All Day or Tentative in place of a time of day."""
    if "event_time" not in rows.columns or rows["event_time"].dtype != pl.String:
        return rows
    return rows.with_columns(pl.col("event_time").str.strip_chars().str.replace(_WITHOUT_TIME, ""))
