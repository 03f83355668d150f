"""Reads candles, instruments and calendar of a past period, from the database or from files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl
import psycopg

from flows.events import Leaders, load_config
from flows.events.source import AHEAD, BEFORE, YEAR_OF_VIX, EventSources, Span, read_sources
from flows.files.market_folder import folder_calendar, folder_candles, folder_instruments
from flows.forecasting.candles import read_candles
from flows.runtime.instruments import known_instruments
from flows.runtime.sentences import listed
from market.aliases import symbol_of_aliases
from market.instruments import Instrument
from market.similar_symbols import did_you_mean
from market.timeframes import CANDLE_DURATION, TIMEFRAMES

_SLACK: Final = 3.5  # hours or days per candle on an exchange, the market that is shut longest


class HistoryError(ValueError):
    """A back-test can't be made; the message says what is missing, and where it was looked for."""


@dataclass(frozen=True)
class MarketHistory:
    """Data of a past period.

    Attributes
    ----------
    candles
        Columns of `flows.runtime.table_columns.CANDLES`, ordered by symbol and time.
    instruments
        By symbol, for the symbols to forecast.
    sources
        Tables that event arrays are built from; None without a calendar.
    """

    candles: pl.DataFrame
    instruments: dict[str, Instrument]
    sources: EventSources | None


@dataclass(frozen=True)
class Period:
    """Period of a back-test, and the symbols and window lengths that its history depends on.

    Attributes
    ----------
    symbols
        None for all with candles in the period.
    start, end
        Instants of the first and the last forecast, aware.
    lookback, pred_len
        Candles before the first forecast, and after the last.
    """

    timeframe: str
    symbols: Sequence[str] | None
    start: datetime
    end: datetime
    lookback: int
    pred_len: int

    @property
    def first(self) -> datetime:
        """An instant before every candle that is needed."""
        return self.start - self._reach(self.lookback)

    @property
    def last(self) -> datetime:
        """An instant after every candle that is needed."""
        return self.end + self._reach(self.pred_len)

    def _reach(self, candles: int) -> timedelta:
        return candles * CANDLE_DURATION[self.timeframe] * _SLACK + timedelta(days=10)


def history_from_files(folder: Path, period: Period) -> MarketHistory:
    """Read the history from a folder with ``candles_1h``, ``candles_1d`` and ``economic_calendar``.

    The candles of other timeframes and the calendar are for the event arrays, and may be missing. A file
    ``instruments`` has the symbols that the packaged table lacks, or that differ from it.

    Raises
    ------
    HistoryError
        There are no candles of the timeframe, none in the period, or none of a requested symbol.
    TableError
        A file can't be read, or its rows are refused.
    """
    known = folder_instruments(folder)
    period = _with_own_symbols(period, known)
    frames = {timeframe: folder_candles(folder, timeframe, known) for timeframe in TIMEFRAMES}
    candles = frames[period.timeframe]
    if candles is None:
        raise HistoryError(f"{folder} has no candles_{period.timeframe}.parquet or .csv")
    history = _cut(candles, known, period, str(folder))
    calendar = folder_calendar(folder)
    if calendar is None:
        return history
    rows = calendar.filter(pl.col("event_time").is_between(period.first - BEFORE, period.last + AHEAD))
    recent = pl.col("ts").is_between(period.first - YEAR_OF_VIX, period.last)
    leaders = Leaders({key: frame.filter(recent) for key, frame in frames.items() if frame is not None})
    return MarketHistory(history.candles, history.instruments, EventSources(rows, pl.DataFrame(), leaders))


def history_from_database(connection: psycopg.Connection[Any], period: Period) -> MarketHistory:
    """Read the history from the tables of the database.

    Raises
    ------
    HistoryError
        The period has no candles, or none of a requested symbol.
    psycopg.Error
        A table can't be read.
    """
    known = known_instruments(connection)
    period = _with_own_symbols(period, known)
    count = int((period.last - period.first) / CANDLE_DURATION[period.timeframe])
    symbols = list(period.symbols or known)
    candles = read_candles(connection, period.timeframe, symbols, count, period.last)
    history = _cut(candles, known, period, "the database")
    # The hourly leaders are read for daily candles too, as `history_from_files` does.
    span = Span(
        period.first, as_of=period.last, end=period.last, timeframes=frozenset({period.timeframe, "1h"})
    )
    sources = read_sources(connection, span, load_config())
    return MarketHistory(
        history.candles, history.instruments, None if sources.calendar.is_empty() else sources
    )


def _with_own_symbols(period: Period, known: Mapping[str, Instrument]) -> Period:
    """Return the period with the symbols that aliases stand for."""
    if period.symbols is None:
        return period
    names = symbol_of_aliases(known)
    return replace(period, symbols=list(dict.fromkeys(names.get(name, name) for name in period.symbols)))


def _cut(candles: pl.DataFrame, known: dict[str, Instrument], period: Period, place: str) -> MarketHistory:
    """Return the candles of the period and its symbols, without sources of events.

    Raises
    ------
    HistoryError
        There are none, none of a requested symbol, or a symbol has no known trading calendar.
    """
    inside = candles.filter(pl.col("ts").is_between(period.first, period.last))
    present = inside["symbol"].unique(maintain_order=True).to_list()
    symbols = present if period.symbols is None else list(period.symbols)
    absent = [symbol for symbol in symbols if symbol not in present]
    unknown = [symbol for symbol in symbols if symbol not in known]
    if absent or not symbols:
        raise HistoryError(
            f"{place} has no {period.timeframe} candles of {', '.join(absent) or 'any symbol'} "
            f"from {period.first:%Y-%m-%d} to {period.last:%Y-%m-%d}"
            + (f", and has those of {listed(present)}" if absent and present else "")
            + (did_you_mean(absent[0], present) if absent else "")
        )
    if unknown:
        raise HistoryError(
            f"the trading hours of {', '.join(unknown)} are unknown: add a row with symbol, asset_class and "
            "calendar to the file instruments.csv of the folder, or to the table instruments of the database"
        )
    return MarketHistory(
        inside.filter(pl.col("symbol").is_in(symbols)).sort("symbol", "ts"),
        {symbol: known[symbol] for symbol in symbols},
        None,
    )
