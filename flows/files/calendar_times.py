"""When the rows of a calendar file are: zones, and dates that must not become instants."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from flows.files.frames import TableError

_EIGHT_DIGITS: Final = range(19000101, 22000101)  # 20240612 as a number is a date


def zone_of(name: str | None) -> ZoneInfo:
    """Return a time zone by its name, UTC without one.

    Raises
    ------
    TableError
        There is no such zone.
    """
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise TableError(
            f"there is no time zone {name!r}; expected a name such as America/New_York or UTC"
        ) from None


def with_known_times(frame: pl.DataFrame, column: str, timezone: str | None = None) -> pl.DataFrame:
    """Give the times of a file in UTC, and say in `time_known` which of them are only dates.

    A date without a time of day, and a time in a source whose times are all midnight, where they were
    written, is a date: it becomes its 00:00 UTC, and `time_known` is false unless the file says otherwise. A
    time that a change of the clock makes ambiguous is the later of the two.

    Parameters
    ----------
    frame
        `column` as a file holds it: text, dates, times with or without a zone, Unix times (left as they are).
    timezone
        Zone of the times that name none; UTC unless given.

    Raises
    ------
    TableError
        There is no such zone.
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
        values = _written_out(values)
    if values.dtype != pl.String:
        return frame
    texts = values.unique().drop_nulls().to_list()
    read = {text: _read(text.strip(), zone) for text in texts}
    sources = frame["source"].cast(pl.String).to_list() if "source" in frame.columns else [None] * len(frame)
    timeless = _timeless(zip(sources, values.to_list(), strict=True), read)
    written: list[str | None] = []
    dated = []
    for source, text in zip(sources, values.to_list(), strict=True):
        local, instant, has_time = read[text] if text is not None else (None, None, True)
        only_date = local is not None and (not has_time or source in timeless)
        dated.append(only_date)
        if only_date and local is not None:
            written.append(local.date().isoformat())
        else:
            written.append(text if instant is None else instant.isoformat())
    return _said(frame, pl.Series(dated, dtype=pl.Boolean)).with_columns(
        pl.Series(column, written, dtype=pl.String)
    )


def are_unix_times(values: pl.Series) -> bool:
    """Tell whether a column holds Unix times, as numbers or as text."""
    if values.dtype != pl.String:
        return values.dtype.is_numeric()
    return bool(values.drop_nulls().str.strip_chars().str.contains(r"^\d{9,}$").all())


def dates_of_midnights(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    """Say of sources whose Unix times are all 00:00 UTC that they only know dates."""
    midnight = (pl.col(column).dt.truncate("1d") == pl.col(column)).all().over("source")
    return rows.with_columns(
        time_known=pl.when(pl.col("time_known").is_null() & midnight)
        .then(pl.lit(False))
        .otherwise("time_known")
    )


def _written_out(values: pl.Series) -> pl.Series:
    """Write times as text, those of a zone with their offset."""
    texts = [
        None if value is None else value.isoformat() for value in values.dt.cast_time_unit("us").to_list()
    ]
    return pl.Series(values.name, texts, dtype=pl.String)


Read = tuple[datetime | None, datetime | None, bool]
"""A time as it is written, in UTC, and whether it has a time of day; None where it can't be read here."""


def _read(text: str, zone: ZoneInfo) -> Read:
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
        # Both readings of an hour that the clock shows twice, or skips.
        return local, max(moment.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)), True
    except (ValueError, OverflowError):
        return None, None, True  # whoever reads the column says what it is


def _timeless(rows: Iterable[tuple[str | None, str | None]], read: dict[str, Read]) -> set[str | None]:
    """Return the sources of which every time is midnight where it was written."""
    midnights: dict[str | None, bool] = {}
    for source, text in rows:
        if text is not None:
            local = read[text][0]
            midnight = local is not None and local.time() == time()
            midnights[source] = midnights.get(source, True) and midnight
    return {source for source, all_midnight in midnights.items() if all_midnight}


def _said(frame: pl.DataFrame, dated: pl.Series) -> pl.DataFrame:
    """Set time_known to false where only the date is known and the file says nothing else."""
    if "time_known" not in frame.columns:
        known = pl.Series("time_known", [None] * len(frame), dtype=pl.Boolean)
    else:
        known = frame["time_known"]
    if known.dtype == pl.String:
        silent = known.str.strip_chars().replace("", None).is_null()
        return frame.with_columns(time_known=pl.when(dated & silent).then(pl.lit("false")).otherwise(known))
    return frame.with_columns(
        time_known=pl.when(dated & known.is_null())
        .then(pl.lit(False))
        .otherwise(known.cast(pl.Boolean, strict=False))
    )
