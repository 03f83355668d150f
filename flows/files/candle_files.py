"""Reads candles from a file's columns of text or numbers into the columns of the candle tables, checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

import polars as pl

from flows.files.candle_columns import PRICES, REQUIRED, refuse_missing
from flows.files.candle_stamps import stamped_at_close, with_opens
from flows.files.candle_times import candle_instants, half_finished, is_dated
from flows.files.errors import TableError
from flows.files.frames import UTC_TIME, conform, refuse
from flows.files.named_candles import NUMBERS, named_candles
from flows.files.numbers import numbers, without_missing
from flows.files.options import DEFAULT, ReadOptions
from flows.files.presets import preset_of
from flows.files.written_times import written_times
from market.aliases import symbol_of_aliases
from market.candle_checks import impossible
from market.candle_checks import nonpositive as not_above_zero
from market.instruments import Instrument
from market.similar_symbols import did_you_mean
from market.spacing import contradiction, other_spacing

NONE_KNOWN: Final[Mapping[str, Instrument]] = MappingProxyType({})
"""Instruments where none are known: prices are above zero, and candles stamped with their open."""

_KEY: Final = ("symbol", "timestamp")
_SCHEMA: Final[Mapping[str, pl.DataType]] = {
    "symbol": pl.String(),
    "timestamp": UTC_TIME,
    **dict.fromkeys(NUMBERS, pl.Float64()),
}


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


def read_candles(
    frame: pl.DataFrame,
    timeframe: str,
    symbols: Sequence[str] | None = None,
    instruments: Mapping[str, Instrument] = NONE_KNOWN,
    options: ReadOptions = DEFAULT,
) -> CandleRows:
    """Read candles and check them.

    Parameters
    ----------
    frame
        A file's columns as read.
    symbols
        Keep only these, by symbol or alias. One names the candles of a frame without the column symbol.
    instruments
        By symbol; they say whose prices may be zero or below, whose candles are stamped with their close, and
        which aliases a symbol has in files.

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
    names = symbol_of_aliases(instruments)
    rows, renamed = _with_own_symbols(rows, names)
    rows = _of_symbols(rows, None if symbols is None else [names.get(name, name) for name in symbols])
    rows, empty = _without_empty_rows(rows)
    timed = _with_instants(rows, timeframe, named.options, instruments)
    rows = _with_numbers(timed.rows, named.options)
    checked = conform(rows, _SCHEMA, REQUIRED, _KEY)
    _check_prices(checked, instruments)
    checked = checked.rename({"timestamp": "ts"}).sort("symbol", "ts")
    check_spacing(checked, timeframe)
    _refuse_times_in_the_day(checked, timeframe)
    repeated = rows.height - checked.height
    notes = [
        *named.notes,
        *renamed,
        *([f"{empty:,} rows without any price were left out"] if empty else []),
        *([_of_quotes(timed.quotes)] if timed.quotes.height else []),
        *timed.moved,
        *([f"{repeated:,} rows repeat another and were dropped"] if repeated else []),
    ]
    order = f"order: {'newest' if timed.newest_first else 'oldest'} first"
    understood = (*named.understood, f"zone: {timed.zone}", order, *_summary(checked))
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


def _with_own_symbols(rows: pl.DataFrame, names: Mapping[str, str]) -> tuple[pl.DataFrame, list[str]]:
    """Return candles with the symbols that aliases stand for, and a note on each alias."""
    rows = rows.with_columns(pl.col("symbol").cast(pl.String).str.strip_chars())
    found = [name for name in rows["symbol"].unique().drop_nulls().sort() if name in names]
    notes = [
        f"candles of {name} are those of {names[name]} (aliases in the table instruments)" for name in found
    ]
    return (rows.with_columns(pl.col("symbol").replace(names)) if found else rows), notes


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


class _Timed(NamedTuple):
    """Candles whose timestamps are instants.

    Attributes
    ----------
    quotes
        Unfinished candles, which are left out, with their time as written.
    zone
        A sentence about the zone.
    newest_first
        Whether the newest comes first.
    moved
        Notes on candles that were stamped with their close.
    """

    rows: pl.DataFrame
    quotes: pl.DataFrame
    zone: str
    newest_first: bool
    moved: list[str]


def _with_instants(
    rows: pl.DataFrame, timeframe: str, options: ReadOptions, instruments: Mapping[str, Instrument]
) -> _Timed:
    written = _written(rows["timestamp"], options)
    unread = rows.filter(written["local"].is_null())
    if unread["timestamp"].dtype == pl.String:
        unread = unread.with_columns(without_missing(unread["timestamp"]))
    refuse(
        unread.drop_nulls("timestamp"),
        _KEY,
        "timestamp is not a time like 2024-01-31T13:30:00Z, or a Unix time from 1973 on",
    )
    unfinished = half_finished(written["local"], rows["symbol"], timeframe)
    if not is_dated(timeframe):  # the close of a short last candle stands at a time of day of its own
        unfinished &= ~rows["symbol"].is_in(stamped_at_close(instruments)).fill_null(False)
    quotes = rows.with_columns(timestamp=written["local"]).filter(unfinished)
    if quotes.height:
        rows, written = rows.filter(~unfinished), written.filter(~unfinished)
    local = written["local"]
    of_first = local.filter(rows["symbol"].eq_missing(rows["symbol"].first()))
    newest_first = of_first.len() > 1 and (of_first[0] or of_first[-1]) > of_first[-1]
    instants, zone = candle_instants(written, rows["symbol"], timeframe, options, newest_first=newest_first)
    rows, moved = with_opens(
        rows.with_columns(timestamp=instants),
        instruments,
        timeframe,
        dated=is_dated(timeframe) and not written["has_time"].any(),
    )
    return _Timed(rows, quotes, zone, newest_first, moved)


def _written(values: pl.Series, options: ReadOptions) -> pl.DataFrame:
    """Return `flows.files.written_times.written_times`; Unix times that are a broker's clock have no zone."""
    written = written_times(values, options.date_order)
    preset = preset_of(options, "candles")
    if preset is None or not preset.local_epochs or written["utc"].has_nulls():
        return written
    return written.with_columns(utc=pl.lit(None, UTC_TIME), iso=pl.lit(False))


def _with_numbers(rows: pl.DataFrame, options: ReadOptions) -> pl.DataFrame:
    converted = []
    for name in NUMBERS:
        if name not in rows.columns or rows[name].dtype != pl.String:
            continue
        read = numbers(rows[name], options.decimal or "point")
        if read.null_count() > rows[name].null_count():
            unread = read.is_null() & without_missing(rows[name]).is_not_null()
            refuse(rows.filter(unread), [*_KEY, name], f"{name} is not a number")
        converted.append(read.alias(name))
    return rows.with_columns(converted)


def _check_prices(rows: pl.DataFrame, instruments: Mapping[str, Instrument]) -> None:
    values = rows.select(NUMBERS).to_numpy()
    for problem, found in impossible(values).items():
        refuse(rows.filter(pl.Series(found)), [*_KEY, *NUMBERS], problem)
    exempt = [symbol for symbol, instrument in instruments.items() if instrument.allow_nonpositive]
    must_be_positive = ~pl.col("symbol").is_in(exempt)
    refuse(
        rows.filter(pl.Series(not_above_zero(values)) & must_be_positive),
        [*_KEY, *PRICES],
        "a price is zero or below; where that can be, set allow_nonpositive of the instrument",
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
    values = ", ".join(f"{name} {row[name]:.12g}" for name in NUMBERS if row[name] is not None)
    return f"{row['symbol']} {row['ts']:%Y-%m-%d %H:%M} UTC, {values}"
