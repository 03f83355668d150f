"""Splits times as files have them into a local time, and what they say of its zone."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import numpy as np
import polars as pl

from flows.files.clock_times import ClockTime, read_clock
from flows.files.options import DateOrder
from flows.files.written_dates import date_order, read_dates
from market.times import aware
from market.types import Int64Array
from market.unix_time import from_epoch, from_epochs, read_instant

SCHEMA: Final = {
    "local": pl.Datetime("us"),
    "has_time": pl.Boolean(),
    "utc": pl.Datetime("us", "UTC"),
    "zone": pl.String(),
    "iso": pl.Boolean(),
}
"""Columns of `written_times`."""

_ISO: Final = r"^\d{4}-\d{2}-\d{2}[T ]\d"
_ISO_DATE: Final = r"^(?:\d{4}-\d{2}-\d{2}|\d{8})$"
_CLOCK_BEHIND: Final = r"^(.*?)(?:[T\s]+|,\s*)(\d{1,2}:\d{2}.*)$"
_DIGITS_BEHIND: Final = r"^(\d{8})[T\s]?(\d{4}|\d{6}(?:\d{3})?)((?:\s|Z|[+-]).*)?$"
_EPOCH: Final = r"^[+-]?\d{9,}(?:\.\d+)?$"
_DAY_OF_DIGITS: Final = (19_000_101, 21_991_231)
_CLOCK_OF_DIGITS: Final = (
    (190_001_010_000, 219_912_312_359),
    (19_000_101_000_000, 21_991_231_235_959),
    (19_000_101_000_000_000, 21_991_231_235_959_999),
)


def written_times(values: pl.Series, order: DateOrder | None = None) -> pl.DataFrame:
    """Return what each time of a file says, one row for each.

    Parameters
    ----------
    values
        Text, dates, times with or without a zone, or Unix times.
    order
        Order of the numbers in dates, None to infer it.

    Returns
    -------
    frame
        `SCHEMA`. `local` is the time as written, midnight for a date alone, NULL for what is no time;
        `has_time` whether a time of day is written; `utc` the instant where the time says it, else NULL;
        `zone` the name or the abbreviation of a zone that is written; `iso` whether the form is that of
        ISO 8601.

    Raises
    ------
    TableError
        The order of dates is unsure.
    """
    if values.dtype == pl.Date:
        return _of_local(values.cast(pl.Datetime("us")), has_time=False)
    if isinstance(values.dtype, pl.Datetime):
        return _of_datetimes(values)
    if values.dtype.is_numeric():
        if not _are_digits_of_dates(values):
            return _of_instants(_epochs(values))
        values = values.cast(pl.Int64).cast(pl.String)
    texts = values.cast(pl.String).str.strip_chars()
    distinct = texts.unique()
    return pl.DataFrame({"text": texts}).join(
        _of_texts(distinct, order), on="text", how="left", maintain_order="left", nulls_equal=True
    ).drop("text")  # fmt: skip


def order_of_dates(values: pl.Series) -> DateOrder | None:
    """Return the order of the numbers in the dates of a column; None if no date depends on it.

    Raises
    ------
    TableError
        It is unsure.
    """
    if values.dtype != pl.String or values.str.contains(_ISO).all():
        return None
    distinct = values.str.strip_chars().unique().drop_nulls()
    return date_order(_split(distinct)["day"].unique().drop_nulls().to_list())


def joined_texts(days: pl.Series, times: pl.Series) -> pl.Series:
    """Return the text of a date and a time of day in two columns; the date alone where there is no time."""
    day, time = (_as_text(values) for values in (days, times))
    if times.dtype.is_integer():
        digits = 4 if (times.max() or 0) < 2400 else 6  # type: ignore[operator]  # an integer
        time = time.str.zfill(digits)
    return pl.select(pl.concat_str(day, time, separator=" ", ignore_nulls=True)).to_series()


def _as_text(values: pl.Series) -> pl.Series:
    return values.cast(pl.String).str.strip_chars().replace("", None)


def _of_texts(distinct: pl.Series, order: DateOrder | None) -> pl.DataFrame:
    """Return `SCHEMA` and ``text`` for different texts."""
    if distinct.drop_nulls().str.contains(_EPOCH).all() and not _are_digits_of_dates(
        distinct.cast(pl.Int64, strict=False)
    ):
        times = _of_instants(_epochs_of_texts(distinct))
        return times.insert_column(0, distinct.alias("text"))
    parts = _split(distinct)
    days = read_dates(parts["day"].unique().drop_nulls().to_list(), order)
    clocks = _clocks(parts["clock"].unique().drop_nulls().to_list())
    midnight = pl.when(~pl.col("has_clock")).then(pl.lit(0, pl.Int64))
    microseconds = midnight.otherwise("microseconds")  # NULL for a clock that can't be read
    table = (
        parts.with_columns(date=pl.col("day").replace_strict(days, default=None, return_dtype=pl.Date))
        .join(clocks, on="clock", how="left", maintain_order="left")
        .with_columns(
            local=pl.col("date").cast(pl.Datetime("us")) + pl.duration(microseconds=microseconds),
            has_time="has_clock",
            iso=pl.col("day").str.contains(_ISO_DATE) & ~pl.col("twelve_hours").fill_null(False),
        )
        .with_columns(
            utc=(pl.col("local") - pl.duration(minutes="offset")).dt.replace_time_zone("UTC"),
        )
        .select("text", *SCHEMA)
    )
    return _with_other_forms(table)


def _split(distinct: pl.Series) -> pl.DataFrame:
    """Return the columns ``text``, ``day``, ``clock`` (NULL without one) and ``has_clock``."""
    frame = pl.DataFrame({"text": distinct}, schema={"text": pl.String})
    text = pl.col("text")
    if distinct.drop_nulls().str.contains(_ISO).all():
        day, clock = text.str.slice(0, 10), text.str.slice(11)
    else:
        groups, digits = text.str.extract_groups(_CLOCK_BEHIND), text.str.extract_groups(_DIGITS_BEHIND)
        day = pl.coalesce(groups.struct[0], digits.struct[0], text)
        compact = pl.concat_str(
            digits.struct[1].str.slice(0, 6), digits.struct[2].fill_null(""), ignore_nulls=False
        )
        clock = pl.coalesce(groups.struct[1], compact)
    return frame.with_columns(day=day, clock=clock).with_columns(has_clock=pl.col("clock").is_not_null())


def _clocks(texts: Iterable[str]) -> pl.DataFrame:
    """Return the columns ``clock``, ``microseconds``, ``offset`` (minutes), ``zone`` and ``twelve_hours``."""
    read: list[tuple[str, ClockTime | None]] = [(text, read_clock(text)) for text in texts]
    rows = [
        (text, clock.microseconds, clock.offset_minutes, clock.zone, clock.twelve_hours)
        for text, clock in read
        if clock is not None
    ]
    schema = {
        "clock": pl.String(),
        "microseconds": pl.Int64(),
        "offset": pl.Int64(),
        "zone": pl.String(),
        "twelve_hours": pl.Boolean(),
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def _with_other_forms(table: pl.DataFrame) -> pl.DataFrame:
    """Read what is still open as any other form of ISO 8601, or as a Unix time."""
    unread = table.filter(pl.col("local").is_null() & pl.col("text").is_not_null())
    rows = [(text, *times) for text in unread["text"].to_list() if (times := _other_form(text)) is not None]
    if not rows:
        return table
    schema = {"text": pl.String(), "local_": SCHEMA["local"], "utc_": SCHEMA["utc"]}
    read = pl.DataFrame(rows, schema=schema, orient="row")
    return (
        table.join(read, on="text", how="left", maintain_order="left")
        .with_columns(
            local=pl.coalesce("local", "local_"),
            utc=pl.coalesce("utc", "utc_"),
            has_time=pl.col("has_time") | pl.col("local_").is_not_null(),
            iso=pl.col("iso") | pl.col("local_").is_not_null(),
        )
        .drop("local_", "utc_")
    )


def _other_form(text: str) -> tuple[datetime, datetime | None] | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        instant = read_instant(text)
        return None if instant is None else (aware(instant).replace(tzinfo=None), aware(instant))
    return moment.replace(tzinfo=None), None if moment.tzinfo is None else moment.astimezone(UTC)


def _of_local(local: pl.Series, *, has_time: bool) -> pl.DataFrame:
    return pl.DataFrame({"local": local}).select(
        "local",
        has_time=pl.lit(has_time),
        utc=pl.lit(None, SCHEMA["utc"]),
        zone=pl.lit(None, pl.String),
        iso=pl.lit(True),
    )


def _of_datetimes(values: pl.Series) -> pl.DataFrame:
    local = values.dt.replace_time_zone(None).dt.cast_time_unit("us")
    times = _of_local(local, has_time=True)
    if values.dtype.time_zone is None:  # type: ignore[attr-defined]  # a Datetime
        return times
    return times.with_columns(utc=values.dt.convert_time_zone("UTC").dt.cast_time_unit("us"))


def _of_instants(utc: pl.Series) -> pl.DataFrame:
    return _of_local(utc.dt.replace_time_zone(None), has_time=True).with_columns(utc=utc)


def _epochs(values: pl.Series) -> pl.Series:
    whole = values.cast(pl.Int64, strict=False)
    if values.dtype.is_integer() or (whole.cast(pl.Float64) == values.cast(pl.Float64)).all():
        return _instants_of_integers(whole)
    instants = [
        None if value is None or not np.isfinite(value) else from_epoch(Decimal(value))
        for value in values.to_list()
    ]
    return pl.Series([None if at is None else aware(at) for at in instants], dtype=SCHEMA["utc"])


def _epochs_of_texts(texts: pl.Series) -> pl.Series:
    whole = texts.cast(pl.Int64, strict=False)
    if whole.null_count() == texts.null_count():
        return _instants_of_integers(whole)
    instants = [None if text is None else read_instant(text) for text in texts.to_list()]
    return pl.Series([None if at is None else aware(at) for at in instants], dtype=SCHEMA["utc"])


def _instants_of_integers(values: pl.Series) -> pl.Series:
    numbers: Int64Array = values.fill_null(0).to_numpy().astype(np.int64)
    return pl.Series(from_epochs(numbers)).dt.replace_time_zone("UTC")


def _are_digits_of_dates(values: pl.Series) -> bool:
    """Return whether whole numbers are all dates such as 20240628, or all with a clock: 20240628133000."""
    numbers = values.drop_nulls()
    if numbers.is_empty() or not (numbers.cast(pl.Int64, strict=False) == numbers).all():
        return False
    if numbers.is_between(*_DAY_OF_DIGITS).all():
        return True
    if not any(numbers.is_between(*bounds).all() for bounds in _CLOCK_OF_DIGITS):
        return False
    texts = numbers.cast(pl.Int64).cast(pl.String)
    days = read_dates(texts.str.slice(0, 8).unique().to_list())
    clocks = [read_clock(text) for text in texts.str.slice(8, 6).unique().to_list()]
    return len(days) == texts.str.slice(0, 8).n_unique() and all(clock is not None for clock in clocks)
