"""Finds the columns of candles in a file, whatever names and languages it has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from flows.files.column_names import CANDLE, INDEX, found, normal_name
from flows.files.errors import TableError
from flows.files.numbers import is_plain, without_missing
from flows.files.options import ReadOptions
from flows.files.time_columns import time_columns
from flows.files.written_times import joined_texts

FIELDS: Final = ("symbol", "timestamp", "open", "high", "low", "close", "volume", "amount")
REQUIRED: Final = FIELDS[:6]
PRICES: Final = FIELDS[2:6]

_LEAST_AMOUNT: Final = 0.01  # of volume × close; a rate of turnover is far below, an amount never


@dataclass(frozen=True)
class CandleColumns:
    """Candles with our names, as the file has the values.

    Attributes
    ----------
    frame
        Columns of `FIELDS`, those that the file has; `timestamp` holds date and time.
    sources
        The file's name of each, or its two names.
    utc
        Whether the name of the time's column says that it is UTC.
    notes
        Sentences about columns that are not used.
    """

    frame: pl.DataFrame
    sources: Mapping[str, str]
    utc: bool
    notes: tuple[str, ...]


def candle_columns(frame: pl.DataFrame, options: ReadOptions) -> CandleColumns:
    """Return the columns of candles under our names.

    Columns that the options name come first, then known names. Where several columns could be the volume, the
    first that is not zero throughout is; ``turnover`` is the amount unless it is far too small for one.

    Raises
    ------
    TableError
        The options name a column that isn't there, or the file has one value for each date.
    """
    given = given_columns(frame, options.columns, FIELDS)
    free = [name for name in frame.columns if name not in given.values()]
    known = {normal_name(name): name for name in reversed(free)}
    sources = dict(given)
    for ours, names in CANDLE.items():
        columns = found(names, known) if ours not in options.columns else []
        if columns:
            sources[ours] = columns[0]
        if ours == "volume" and len(columns) > 1:
            sources[ours] = next((name for name in columns if not _is_zero(frame[name])), columns[0])
    notes = []
    if "amount" in sources and "amount" not in given and _is_rate(frame, sources):
        notes.append(f"{sources.pop('amount')} is a rate, far below volume times price, and no amount")
    times = (
        [given["timestamp"]]
        if "timestamp" in given
        else time_columns(frame, known) or found(INDEX, known)[:1]
    )
    _refuse_single_values(frame, sources, times)
    selected = {ours: frame[theirs] for ours, theirs in sources.items() if ours != "timestamp"}
    if times:
        selected["timestamp"] = frame[times[0]] if len(times) == 1 else joined_texts(*frame.select(times))
    used = {*sources.values(), *times}
    unused = [name for name in frame.columns if name not in used and not _is_index(frame, name)]
    if unused:
        notes.append(f"columns that are not used: {', '.join(name or '(without a name)' for name in unused)}")
    return CandleColumns(
        pl.DataFrame({name: selected[name] for name in FIELDS if name in selected}),
        _in_order({**sources, **({"timestamp": " and ".join(times)} if times else {})}),
        utc=any(word in ("utc", "gmt", "(utc)") for name in times for word in normal_name(name).split()),
        notes=tuple(notes),
    )


def _in_order(sources: Mapping[str, str]) -> dict[str, str]:
    return {name: sources[name] for name in FIELDS if name in sources}


def given_columns(frame: pl.DataFrame, columns: Mapping[str, str], fields: tuple[str, ...]) -> dict[str, str]:
    """Return the file's columns that the user named, by our names; those without a column are left out.

    Raises
    ------
    TableError
        The name is none of ours, or the file has no such column.
    """
    for ours, theirs in columns.items():
        if ours not in fields:
            raise TableError(f"--map names the column {ours!r}; expected one of {', '.join(fields)}")
        if theirs and theirs not in frame.columns:
            raise TableError(
                f"it has no column {theirs!r}, which --map names for {ours}; its columns are "
                f"{', '.join(frame.columns)}"
            )
    return {ours: theirs for ours, theirs in columns.items() if theirs}


def refuse_missing(named: pl.DataFrame, frame: pl.DataFrame) -> None:
    """Refuse a file that lacks a column that candles need.

    Parameters
    ----------
    named
        Its columns under our names.
    frame
        The file's own.

    Raises
    ------
    TableError
        Names what is missing, what the file has, and how to say what is what.
    """
    missing = [name for name in REQUIRED if name not in named.columns]
    if not missing:
        return
    adjusted = [name for name in frame.columns if normal_name(name) in ("adj close", "adjusted close")]
    hints = [f"if {', '.join(missing)} has another name there, give --map {missing[0]}=NAME"]
    if missing == ["symbol"]:
        hints = ["name the symbol of the file with --symbols NAME"]
    if "close" in missing and adjusted:
        hints = [
            f"--map close='{adjusted[0]}' takes {adjusted[0]} for it, if open, high and low are adjusted too"
        ]
    raise TableError(
        f"missing columns: {', '.join(missing)}; its columns are {', '.join(frame.columns)}; expected "
        f"{', '.join(REQUIRED)} and optionally {', '.join(FIELDS[6:])}; {'; '.join(hints)}"
    )


def _refuse_single_values(frame: pl.DataFrame, sources: Mapping[str, str], times: list[str]) -> None:
    """Refuse a file with a date and one value, as FRED gives exchange rates."""
    if {"open", "high", "low"} & set(sources):
        return
    dates = times or [name for name in frame.columns if normal_name(name) == "observation date"]
    values = [name for name in frame.columns if name not in dates and name not in sources.values()]
    values += [sources["close"]] if "close" in sources else []
    if dates and len(frame.columns) <= 3 and len(values) == 1:
        raise TableError(
            f"it has one value for each date ({values[0]}), and a candle needs open, high, low and close; "
            "load an economic series with `python -m flows.load indicators FILE`"
        )


def _is_index(frame: pl.DataFrame, name: str) -> bool:
    """Return whether a column numbers the rows, or is empty because lines end in a separator."""
    values = frame[name]
    if normal_name(name) not in INDEX and not name.startswith("_duplicated"):
        return False
    if values.null_count() == values.len():
        return True
    return bool((values.cast(pl.Int64, strict=False) == pl.int_range(frame.height, eager=True)).all())


def _is_zero(values: pl.Series) -> bool:
    if values.dtype == pl.String:
        values = without_missing(values.head(100_000))
        if not is_plain(values):
            return False
    numbers = values.cast(pl.Float64, strict=False)
    return bool((numbers.fill_null(0) == 0).all())


def _is_rate(frame: pl.DataFrame, sources: Mapping[str, str]) -> bool:
    """Return whether a column ``turnover`` is a rate: too small to be the amount traded."""
    if normal_name(sources["amount"]) != "turnover" or not {"volume", "close"} <= set(sources):
        return False
    head = frame.head(1000).select(
        amount=pl.col(sources["amount"]).cast(pl.Float64, strict=False),
        worth=pl.col(sources["volume"]).cast(pl.Float64, strict=False)
        * pl.col(sources["close"]).cast(pl.Float64, strict=False),
    )
    ratio = head.filter(pl.col("worth") > 0).select((pl.col("amount") / pl.col("worth")).median()).item()
    return ratio is not None and ratio < _LEAST_AMOUNT
