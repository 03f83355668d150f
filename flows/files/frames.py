"""Reads CSV, Parquet and JSON files into frames with the columns and types of the tables, checked."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import polars as pl

from flows.files.errors import TableError
from flows.files.json_rows import json_frame
from flows.files.text_tables import Table, read_text_table
from market.times import aware
from market.unix_time import from_epoch, read_instant

__all__ = ["UTC_TIME", "TableError", "conform", "read_file", "read_table", "refuse"]

TEXT_ENDINGS = (".csv", ".txt", ".tsv", ".prn")
UTC_TIME = pl.Datetime("us", "UTC")
_SHOWN = 10  # rows that an error lists


def read_file(path: Path) -> pl.DataFrame:
    """Return the columns of `read_table`."""
    return read_table(path).frame


def read_table(path: Path) -> Table:
    """Read a text file as text columns, or a Parquet or JSON file with its types.

    JSON has one of the shapes of `flows.files.json_rows`, or one object per line (.jsonl, .ndjson).

    Raises
    ------
    TableError
        The file is missing, has another ending or can't be read.
    """
    if not path.is_file():
        raise TableError("there is no such file")
    try:
        if path.suffix.lower() == ".parquet":
            return Table(pl.read_parquet(path), "Parquet")
        if path.suffix.lower() in TEXT_ENDINGS:
            return read_text_table(path)
        if path.suffix.lower() in (".json", ".jsonl", ".ndjson"):
            return Table(json_frame(path.read_bytes(), lines=path.suffix.lower() != ".json"), "JSON")
    except (OSError, pl.exceptions.PolarsError) as error:
        raise TableError(f"it can't be read: {str(error).splitlines()[0]}") from None
    raise TableError(
        f"expected a file that ends in {', '.join(TEXT_ENDINGS)} or .parquet, or in .json, .jsonl or .ndjson"
    )


def conform(
    frame: pl.DataFrame,
    schema: Mapping[str, pl.DataType],
    required: Sequence[str],
    key: Sequence[str],
    *,
    one_per_key: bool = True,
) -> pl.DataFrame:
    """Return a frame with exactly the columns and types of `schema`; missing optional columns become NULL.

    Duplicate rows are dropped.

    Parameters
    ----------
    frame
        Values as read from a file: text, numbers, times with a zone or without one (then UTC).
    schema
        Type by column: String, Float64, Boolean, Date or Datetime in UTC.
    required
        Columns that must be present, without nulls.
    key
        Columns that identify a row.
    one_per_key
        Whether different rows with the same key are an error.

    Raises
    ------
    TableError
        For missing or unknown columns, nulls in `required`, values of a wrong type, NaN, infinity, and
        different rows with one key.
    """
    _check_columns(frame.columns, schema, required)
    texts = [name for name, kind in frame.schema.items() if kind == pl.String]
    frame = frame.with_columns(pl.col(texts).str.strip_chars().replace("", None))
    typed = pl.DataFrame(
        {
            name: _typed(frame[name], kind)
            if name in frame.columns
            else pl.repeat(None, frame.height, dtype=kind, eager=True)
            for name, kind in schema.items()
        }
    )
    for name in frame.columns:
        unreadable = frame.filter(typed[name].is_null() & frame[name].is_not_null())
        refuse(unreadable, dict.fromkeys([*key, name]), f"{name} is not {_NAMES[schema[name]]}")
    for name in required:
        refuse(frame.filter(typed[name].is_null()), key, f"{name} is missing")
    for name in (name for name, kind in schema.items() if kind == pl.Float64()):
        refuse(typed.filter(~typed[name].is_finite()), [*key, name], f"{name} is not finite")
    if not typed.select(pl.struct(key).is_duplicated().any()).item():
        return typed
    typed = typed.unique(maintain_order=True)
    if one_per_key:
        refuse(
            typed.filter(pl.struct(key).is_duplicated()).unique(key, maintain_order=True),
            key,
            "several rows of one key with different values",
        )
    return typed


def refuse(rows: pl.DataFrame, columns: Iterable[str], problem: str) -> None:
    """Raise a `TableError` that lists the rows and states the problem, if there are any rows.

    Parameters
    ----------
    rows
        Rows with the problem.
    columns
        Columns to show of them; those that `rows` lacks are skipped.
    """
    if rows.is_empty():
        return
    columns = list(columns)
    shown = [
        " ".join(_text(row[name]) for name in columns if name in row) for row in rows.head(_SHOWN).to_dicts()
    ]
    more = f", … and {rows.height - _SHOWN} more" if rows.height > _SHOWN else ""
    raise TableError(f"{problem}: {'; '.join(shown)}{more} ({', '.join(columns)})")


_NAMES: dict[pl.DataType, str] = {
    pl.String(): "text",
    pl.Float64(): "a number",
    pl.Boolean(): "true or false",
    pl.Date(): "a date like 2024-01-31",
    UTC_TIME: "a time like 2024-01-31T13:30:00Z, or a Unix time from 1973 on",
}
_TRUTHS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _check_columns(
    present: Sequence[str], schema: Mapping[str, pl.DataType], required: Sequence[str]
) -> None:
    missing = [name for name in required if name not in present]
    unknown = [name for name in present if name not in schema]
    problems = [
        f"{problem}: {', '.join(names)}"
        for problem, names in (("missing columns", missing), ("unknown columns", unknown))
        if names
    ]
    if problems:
        optional = [name for name in schema if name not in required]
        raise TableError(
            f"{'; '.join(problems)}; expected {', '.join(required)} and optionally {', '.join(optional)}"
        )


def _typed(values: pl.Series, kind: pl.DataType) -> pl.Series:
    """Convert a column; values that can't be converted become NULL."""
    if values.is_empty():
        return pl.Series(values.name, dtype=kind)
    if kind == UTC_TIME:
        return _times(values)
    if kind == pl.Date():
        return _times(values).dt.date()
    if kind == pl.Boolean() and values.dtype == pl.String:
        return values.str.to_lowercase().replace_strict(_TRUTHS, default=None, return_dtype=pl.Boolean)
    return values.cast(kind, strict=False)


def _times(values: pl.Series) -> pl.Series:
    if isinstance(values.dtype, pl.Datetime):
        aware = values if values.dtype.time_zone else values.dt.replace_time_zone("UTC")
        return aware.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    if values.dtype == pl.Date:
        return values.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if values.dtype.is_numeric():
        numbers = values.drop_nulls().unique()
        times = pl.Series([_unix_time(number) for number in numbers], dtype=UTC_TIME)
        return values.replace_strict(numbers, times, return_dtype=UTC_TIME)
    texts = values.cast(pl.String).unique()
    times = pl.Series([_time(text) for text in texts], dtype=UTC_TIME)
    return values.cast(pl.String).replace_strict(texts, times, return_dtype=UTC_TIME)


def _time(text: str | None) -> datetime | None:
    """Return the instant of an ISO 8601 text, UTC without a zone, or of a Unix time, else None."""
    instant = None if text is None else read_instant(text)
    return None if instant is None else aware(instant)


def _unix_time(number: float) -> datetime | None:
    """Return the instant of a Unix time, whose unit follows from its size; None for another number."""
    instant = from_epoch(Decimal(number)) if math.isfinite(number) else None
    return None if instant is None else aware(instant)
