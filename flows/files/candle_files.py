"""Reads candles from a file's columns of text or numbers into the columns of the candle tables, checked."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from flows.files.candle_columns import FIELDS, PRICES, REQUIRED, candle_columns, refuse_missing
from flows.files.candle_times import candle_instants, half_finished, is_dated
from flows.files.errors import TableError
from flows.files.frames import UTC_TIME, conform, refuse
from flows.files.numbers import decimal_sign, numbers, without_missing
from flows.files.options import DEFAULT, ORDER_WORDS, ReadOptions
from flows.files.presets import preset_of, with_preset
from flows.files.written_times import order_of_dates, written_times
from market.candle_checks import impossible
from market.candle_checks import nonpositive as not_above_zero
from market.similar_symbols import did_you_mean
from market.spacing import contradiction, other_spacing

_KEY: Final = ("symbol", "timestamp")
_NUMBERS: Final = FIELDS[2:]
_SCHEMA: Final[Mapping[str, pl.DataType]] = {
    "symbol": pl.String(),
    "timestamp": UTC_TIME,
    **dict.fromkeys(_NUMBERS, pl.Float64()),
}


@dataclass(frozen=True)
class NamedCandles:
    """Candles with our column names and the file's values, and how these are read.

    Attributes
    ----------
    frame
        Columns `flows.files.candle_columns.FIELDS`, those that the file has.
    options
        With the order of dates and the decimal sign of the whole file.
    understood
        Sentences about the columns.
    notes
        Sentences about columns that are not used.
    """

    frame: pl.DataFrame
    options: ReadOptions
    understood: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CandleRows:
    """Candles after all checks.

    Attributes
    ----------
    rows
        Columns of `flows.runtime.table_columns.CANDLES`, ordered by symbol and time.
    understood
        Sentences about zone, order, numbers and rows.
    notes
        Sentences about what was left out.
    """

    rows: pl.DataFrame
    understood: tuple[str, ...]
    notes: tuple[str, ...]


def named_candles(frame: pl.DataFrame, options: ReadOptions = DEFAULT) -> NamedCandles:
    """Find the columns of candles, and decide from the whole file how dates and numbers are written.

    Parameters
    ----------
    frame
        A file's columns as read.

    Raises
    ------
    TableError
        A column named by the options is missing, the file has one value for each date, or the order of its
        dates or its decimal sign is unsure.
    """
    options = with_preset(options, "candles")
    columns = candle_columns(frame, options)
    named = columns.frame
    texts = [named[name] for name in _NUMBERS if name in named.columns and named[name].dtype == pl.String]
    sign = decimal_sign(texts, options.decimal)
    order = options.date_order
    if order is None and "timestamp" in named.columns:
        order = order_of_dates(named["timestamp"])
    settled = replace(
        options,
        columns={},
        date_order=order,
        decimal=sign,
        timezone=options.timezone or ("UTC" if columns.utc else None),
    )
    understood = [
        "columns: " + ", ".join(f"{ours} = {theirs}" for ours, theirs in columns.sources.items()),
        f"numbers: decimal {sign}",
    ]
    if order is not None:
        understood.append(f"dates: {ORDER_WORDS[order]}")
    preset = preset_of(options, "candles")
    notes = [*columns.notes, *([preset.note] if preset is not None and preset.note else [])]
    return NamedCandles(named, settled, tuple(understood), tuple(notes))


def read_candles(
    frame: pl.DataFrame,
    timeframe: str,
    symbols: Sequence[str] | None = None,
    nonpositive: Collection[str] = (),
    options: ReadOptions = DEFAULT,
) -> CandleRows:
    """Read candles and check them.

    Parameters
    ----------
    frame
        A file's columns as read.
    symbols
        Keep only these. One symbol names the candles of a frame without the column symbol.
    nonpositive
        Symbols whose prices may be zero or below.

    Raises
    ------
    TableError
        As `named_candles`; for missing columns and values, values of a wrong type, NaN, a price of zero or
        below, high below or low above another price, negative volume or amount, a daily timestamp that is not
        a date, two candles at one time, and candles spaced for another timeframe; the message names symbol
        and timestamp.
    """
    named = named_candles(frame, options)
    rows = named.frame
    if "symbol" not in rows.columns and symbols is not None and len(symbols) == 1:
        rows = rows.with_columns(symbol=pl.lit(symbols[0]))
    refuse_missing(rows, frame)
    if rows["symbol"].dtype != pl.String:
        rows = rows.with_columns(pl.col("symbol").cast(pl.String))
    rows = _of_symbols(rows, symbols)
    rows, empty = _without_empty_rows(rows)
    rows, quotes, zone, newest_first = _with_instants(rows, timeframe, named.options)
    rows = _with_numbers(rows, named.options)
    checked = conform(rows, _SCHEMA, REQUIRED, _KEY)
    _check_prices(checked, nonpositive)
    checked = checked.rename({"timestamp": "ts"}).sort("symbol", "ts")
    check_spacing(checked, timeframe)
    _refuse_times_in_the_day(checked, timeframe)
    repeated = rows.height - checked.height
    notes = [
        *named.notes,
        *([f"{empty:,} rows without any price were left out"] if empty else []),
        *([_of_quotes(quotes)] if quotes.height else []),
        *([f"{repeated:,} rows repeat another and were dropped"] if repeated else []),
    ]
    order = f"order: {'newest' if newest_first else 'oldest'} first"
    understood = (*named.understood, f"zone: {zone}", order, *_summary(checked))
    return CandleRows(checked, understood, tuple(notes))


def check_spacing(candles: pl.DataFrame, timeframe: str) -> None:
    """Refuse candles that are spaced for another timeframe.

    Parameters
    ----------
    candles
        symbol and ts, ordered by both.

    Raises
    ------
    TableError
        Names the first such symbol and the spacing of its candles.
    """
    for (symbol,), part in candles.partition_by("symbol", as_dict=True, maintain_order=True).items():
        stamps = part["ts"].dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")
        spacing = other_spacing(stamps, timeframe)
        if spacing is not None:
            raise TableError(contradiction(str(symbol), spacing, timeframe))


def _of_symbols(rows: pl.DataFrame, symbols: Sequence[str] | None) -> pl.DataFrame:
    if symbols is None:
        return rows
    present = set(rows["symbol"].unique().drop_nulls())
    absent = sorted(set(symbols) - present)
    if absent:
        raise TableError(f"no candles of {', '.join(absent)} in it{did_you_mean(absent[0], present)}")
    return rows.filter(pl.col("symbol").is_in(list(symbols)))


def _without_empty_rows(rows: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Return the rows that have a price, and the number of the others, such as holidays and footers."""
    empty = pl.repeat(True, rows.height, eager=True)
    for name in PRICES:
        empty &= _is_empty(rows[name])
        if not empty.any():
            return rows, 0
    kept = rows.filter(~empty)
    return (rows, 0) if kept.is_empty() else (kept, rows.height - kept.height)


def _is_empty(values: pl.Series) -> pl.Series:
    if values.dtype != pl.String:
        return values.is_null()
    return ~values.str.contains(r"\d").fill_null(False)


def _with_instants(
    rows: pl.DataFrame, timeframe: str, options: ReadOptions
) -> tuple[pl.DataFrame, pl.DataFrame, str, bool]:
    """Return rows with instants, those of unfinished candles, a sentence about the zone, and the order.

    Rows of unfinished candles have their time as written. The order is whether the newest comes first.
    """
    written = _written(rows["timestamp"], options)
    unread = rows.filter(written["local"].is_null())
    if unread["timestamp"].dtype == pl.String:
        unread = unread.with_columns(without_missing(unread["timestamp"]))
    refuse(
        unread.drop_nulls("timestamp"),
        _KEY,
        "timestamp is not a time like 2024-01-31T13:30:00Z, or a Unix time from 1973 on",
    )
    rows = rows.with_columns(pl.col("symbol").str.strip_chars())
    unfinished = half_finished(written["local"], rows["symbol"], timeframe)
    quotes = rows.with_columns(timestamp=written["local"]).filter(unfinished)
    if quotes.height:
        rows, written = rows.filter(~unfinished), written.filter(~unfinished)
    local = written["local"]
    of_first = local.filter(rows["symbol"].eq_missing(rows["symbol"].first()))
    newest_first = of_first.len() > 1 and (of_first[0] or of_first[-1]) > of_first[-1]
    instants, zone = candle_instants(written, rows["symbol"], timeframe, options, newest_first=newest_first)
    return rows.with_columns(timestamp=instants), quotes, zone, newest_first


def _written(values: pl.Series, options: ReadOptions) -> pl.DataFrame:
    """Return `flows.files.written_times.written_times`; Unix times that are a broker's clock have no zone."""
    written = written_times(values, options.date_order)
    preset = preset_of(options, "candles")
    if preset is None or not preset.local_epochs or written["utc"].has_nulls():
        return written
    return written.with_columns(utc=pl.lit(None, UTC_TIME), iso=pl.lit(False))


def _with_numbers(rows: pl.DataFrame, options: ReadOptions) -> pl.DataFrame:
    converted = []
    for name in _NUMBERS:
        if name not in rows.columns or rows[name].dtype != pl.String:
            continue
        read = numbers(rows[name], options.decimal or "point")
        if read.null_count() > rows[name].null_count():
            unread = read.is_null() & without_missing(rows[name]).is_not_null()
            refuse(rows.filter(unread), [*_KEY, name], f"{name} is not a number")
        converted.append(read.alias(name))
    return rows.with_columns(converted)


def _check_prices(rows: pl.DataFrame, nonpositive: Collection[str]) -> None:
    values = rows.select(_NUMBERS).to_numpy()
    for problem, found in impossible(values).items():
        refuse(rows.filter(pl.Series(found)), [*_KEY, *_NUMBERS], problem)
    must_be_positive = ~pl.col("symbol").is_in(list(nonpositive))
    refuse(
        rows.filter(pl.Series(not_above_zero(values)) & must_be_positive),
        [*_KEY, *PRICES],
        "a price is zero or below; where that can be, set allow_nonpositive in the table instruments",
    )


_DATED: Final = {
    "1d": "a daily candle's timestamp must be its session date at 00:00 UTC",
    "1w": "a weekly candle's timestamp must be the date of its Monday at 00:00 UTC",
}


def _refuse_times_in_the_day(rows: pl.DataFrame, timeframe: str) -> None:
    if is_dated(timeframe):
        refuse(
            rows.filter(pl.col("ts").dt.truncate("1d") != pl.col("ts")).rename({"ts": "timestamp"}),
            _KEY,
            _DATED[timeframe],
        )


def _of_quotes(rows: pl.DataFrame) -> str:
    named = ", ".join(
        f"{symbol} {at:%Y-%m-%d %H:%M}" for symbol, at in rows.select(_KEY).unique().iter_rows()
    )
    return f"{rows.height:,} unfinished candles at the end were left out: {named}"


def _summary(rows: pl.DataFrame) -> list[str]:
    """Return the number of rows, and the first and the last candle of the first symbol."""
    if rows.is_empty():
        return ["candles: 0"]
    symbols = rows["symbol"].n_unique()
    first_symbol = rows.filter(pl.col("symbol") == rows["symbol"][0])
    return [
        f"candles: {rows.height:,} of {symbols:,} symbol{'' if symbols == 1 else 's'}",
        f"first candle: {_candle_words(first_symbol.row(0, named=True))}",
        f"last candle: {_candle_words(first_symbol.row(-1, named=True))}",
    ]


def _candle_words(row: Mapping[str, object]) -> str:
    values = ", ".join(f"{name} {row[name]:.12g}" for name in _NUMBERS if row[name] is not None)
    return f"{row['symbol']} {row['ts']:%Y-%m-%d %H:%M} UTC, {values}"
