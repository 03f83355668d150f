"""Converts the times of calendar files to UTC, and marks those that are only dates."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timezone
from typing import Final
from zoneinfo import ZoneInfo

import polars as pl

from flows.files.candle_times import candle_instants
from flows.files.options import ReadOptions
from flows.files.written_times import written_times
from flows.files.zones import zone_of

_EIGHT_DIGITS: Final = range(19000101, 22000101)  # a number such as 20240612 is a date


def iso_times(values: pl.Series, options: ReadOptions) -> pl.Series:
    """Return a column whose times are written in the form of ISO 8601, with their offset where they have one.

    Parameters
    ----------
    values
        Text in any form that `flows.files.written_times` reads; other types, and what is no time, stay.

    Raises
    ------
    TableError
        The order of dates is unsure, or the zone of times in another form than ISO 8601 has to be given.
    """
    if values.dtype != pl.String or are_unix_times(values):
        return values
    distinct = values.str.strip_chars().unique().drop_nulls()
    others = distinct.filter([not _is_iso(text) for text in distinct])
    if others.is_empty():
        return values
    written = written_times(others, options.date_order)
    instants = written["utc"]
    if (written["local"].dt.truncate("1d") != written["local"]).any():
        timed = written["has_time"].fill_null(False)
        symbols = pl.repeat("", written.filter(timed).height, dtype=pl.String, eager=True)
        read, _ = candle_instants(written.filter(timed), symbols, "1h", options, newest_first=False)
        instants = instants.scatter(timed.arg_true(), read)
    rows = zip(others, written["local"], written["has_time"], instants, strict=True)
    texts = {
        text: _iso_text(local, has_time, instant)
        for text, local, has_time, instant in rows
        if local is not None
    }
    return values.str.strip_chars().replace(texts)


def _is_iso(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _iso_text(local: datetime, has_time: bool, instant: datetime | None) -> str:
    if not has_time:
        return local.date().isoformat()
    if instant is None:
        return local.isoformat()
    return local.replace(tzinfo=timezone(local - instant.replace(tzinfo=None))).isoformat()


def with_known_times(frame: pl.DataFrame, column: str, timezone: str | None = None) -> pl.DataFrame:
    """Return a file with its times in UTC, and with `time_known` false for those that are only dates.

    A date without a time of day becomes 00:00 UTC, and so does a local midnight of a source whose times are
    all local midnights; `time_known` becomes false unless the file has a value. A local time that occurs
    twice, or never, when clocks change is the later instant.

    Parameters
    ----------
    frame
        `column` as read from a file: text, dates, times with or without a zone, Unix times (unchanged).
    timezone
        Zone of times without one; UTC for None.

    Raises
    ------
    TableError
        The zone is unknown.
    """
    zone = zone_of(timezone)
    if column not in frame.columns:
        return frame
    values = frame[column]
    if (
        values.dtype.is_integer()
        and values.drop_nulls().is_between(_EIGHT_DIGITS[0], _EIGHT_DIGITS[-1]).all()
    ):
        values = values.cast(pl.String)
    if values.dtype == pl.Date:
        values = values.cast(pl.String)
    if isinstance(values.dtype, pl.Datetime):
        values = _as_text(values)
    if values.dtype != pl.String:
        return frame
    texts = values.unique().drop_nulls().to_list()
    read = {text: _read(text.strip(), zone) for text in texts}
    sources = frame["source"].cast(pl.String).to_list() if "source" in frame.columns else [None] * len(frame)
    date_only = _date_only_sources(zip(sources, values.to_list(), strict=True), read)
    written: list[str | None] = []
    dates = []
    for source, text in zip(sources, values.to_list(), strict=True):
        local, instant, has_time = read[text] if text is not None else (None, None, True)
        is_date = local is not None and (not has_time or source in date_only)
        dates.append(is_date)
        if is_date and local is not None:
            written.append(local.date().isoformat())
        else:
            written.append(text if instant is None else instant.isoformat())
    return _with_unknown_times(frame, pl.Series(dates, dtype=pl.Boolean)).with_columns(
        pl.Series(column, written, dtype=pl.String)
    )


def are_unix_times(values: pl.Series) -> bool:
    """Tell whether a column holds Unix times, as numbers or as text."""
    if values.dtype != pl.String:
        return values.dtype.is_numeric()
    return bool(values.drop_nulls().str.strip_chars().str.contains(r"^\d{9,}$").all())


def dates_of_midnights(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    """Set `time_known` to false for sources whose Unix times are all 00:00 UTC, where it is null."""
    midnight = (pl.col(column).dt.truncate("1d") == pl.col(column)).all().over("source")
    return rows.with_columns(
        time_known=pl.when(pl.col("time_known").is_null() & midnight)
        .then(pl.lit(False))
        .otherwise("time_known")
    )


def _as_text(values: pl.Series) -> pl.Series:
    """Return times as ISO 8601 text, with the offset if the column has a zone."""
    texts = [
        None if value is None else value.isoformat() for value in values.dt.cast_time_unit("us").to_list()
    ]
    return pl.Series(values.name, texts, dtype=pl.String)


ParsedTime = tuple[datetime | None, datetime | None, bool]
"""Local time as written, instant in UTC, and whether there is a time of day; None for unreadable parts."""


def _read(text: str, zone: ZoneInfo) -> ParsedTime:
    """Parse a date or a time; a time without a zone is in `zone`."""
    try:
        day = date.fromisoformat(text)
        return datetime(day.year, day.month, day.day), None, False
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
        local = moment.replace(tzinfo=None)
        if moment.tzinfo is not None:
            return local, moment.astimezone(UTC), True
        # Both readings of an hour that occurs twice, or never.
        return local, max(moment.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)), True
    except (ValueError, OverflowError):
        return None, None, True  # `conform` reads or refuses it


def _date_only_sources(
    rows: Iterable[tuple[str | None, str | None]], read: dict[str, ParsedTime]
) -> set[str | None]:
    """Return the sources whose times are all midnight as written."""
    midnights: dict[str | None, bool] = {}
    for source, text in rows:
        if text is not None:
            local = read[text][0]
            midnight = local is not None and local.time() == time()
            midnights[source] = midnights.get(source, True) and midnight
    return {source for source, all_midnight in midnights.items() if all_midnight}


def _with_unknown_times(frame: pl.DataFrame, dated: pl.Series) -> pl.DataFrame:
    """Set `time_known` to false for dates, where the file has no value."""
    if "time_known" not in frame.columns:
        known = pl.Series("time_known", [None] * len(frame), dtype=pl.Boolean)
    else:
        known = frame["time_known"]
    if known.dtype == pl.String:
        unset = known.str.strip_chars().replace("", None).is_null()
        return frame.with_columns(time_known=pl.when(dated & unset).then(pl.lit("false")).otherwise(known))
    return frame.with_columns(
        time_known=pl.when(dated & known.is_null())
        .then(pl.lit(False))
        .otherwise(known.cast(pl.Boolean, strict=False))
    )
