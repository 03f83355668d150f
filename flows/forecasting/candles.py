"""Reads candles from the database and cuts each symbol's to the window that had closed by an instant."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import psycopg

from flows.forecasting.window_times import StaleError, WindowCut, window_times
from flows.runtime.candle_columns import last_candles, stamps_of
from inference_server.schemas import Candles
from market.aggregation import MissingParts
from market.closed_candles import STILL_OPEN
from market.instruments import Instrument
from market.times import aware
from market.types import DatetimeArray, Float64Array, Int64Array

PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class CandleWindow:
    """The candles of one symbol that a forecast starts from, and the times that it is for.

    Attributes
    ----------
    timestamps
        (T,) datetime64[us] UTC as stored, oldest first.
    columns
        open, high, low, close and, where any candle of the window has them, volume and amount; (T,) each, NaN
        where volume or amount is unknown.
    future_timestamps
        (pred_len,) datetime64[us] UTC on the grid that the candles stand on.
    late
        Whether the first future candle had closed already: the feed of the table is late, or has ended.
    notes
        Warnings about how the window was cut, each beginning with its code.
    missing
        Of aggregated candles, the finer ones that they lack; None for stored candles.
    """

    instrument: Instrument
    timestamps: DatetimeArray = field(repr=False)  # Prefect shows arguments in its messages
    columns: Mapping[str, Float64Array] = field(repr=False)
    future_timestamps: DatetimeArray = field(repr=False)
    late: bool = False
    notes: tuple[str, ...] = ()
    missing: MissingParts | None = field(default=None, repr=False)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about the window, each beginning with its code."""
        parts = () if self.missing is None else self.missing.warnings()
        return (*self.notes, *parts)

    @property
    def as_of(self) -> datetime:
        """Timestamp of the last candle used, aware."""
        return aware(self.timestamps[-1])

    @property
    def last_close(self) -> float:
        """Close of the last candle used."""
        return float(self.columns["close"][-1])

    def last(self, count: int) -> "CandleWindow":
        """Return the window of the last candles, with the same future."""
        rows = slice(-count, None)
        return replace(
            self,
            timestamps=self.timestamps[rows],
            columns={name: values[rows] for name, values in self.columns.items()},
            missing=None if self.missing is None else self.missing.keep(rows),
        )

    def request_candles(self) -> Candles:
        """Return the window as the columns of a request."""
        columns: dict[str, Any] = {
            name: [None if math.isnan(value) else value for value in values.tolist()]
            for name, values in self.columns.items()
        }
        return Candles(timestamp=epoch_ms(self.timestamps), **columns)


class Windows(NamedTuple):
    """The windows of some symbols, and why the others have none, by symbol.

    Attributes
    ----------
    windows
        Those to forecast from.
    unusable
        Why a symbol can't be forecast.
    stale
        Why a symbol is left out whose newest candle is far behind its calendar.
    """

    windows: dict[str, CandleWindow]
    unusable: dict[str, str]
    stale: dict[str, str]


def epoch_ms(timestamps: DatetimeArray) -> list[Any]:
    """Return timestamps as the whole milliseconds since 1970 that a request carries."""
    milliseconds: list[Any] = timestamps.astype("datetime64[ms]").astype(np.int64).tolist()
    return milliseconds


def read_candles(
    connection: psycopg.Connection[Any],
    timeframe: str,
    symbols: Sequence[str],
    lookback: int,
    as_of: datetime,
) -> pl.DataFrame:
    """Read the last candles of all symbols that began before an instant, in one query.

    Returns
    -------
    polars.DataFrame
        As `candle_columns.last_candles`, with up to `lookback` + `STILL_OPEN` rows per symbol.
    """
    return last_candles(connection, timeframe, symbols, lookback + STILL_OPEN, as_of)


def closed_windows(
    candles: pl.DataFrame,
    instruments: Mapping[str, Instrument],
    timeframe: str,
    as_of: datetime,
    *,
    lookback: int,
    pred_len: int,
    min_candles: int,
    stale_after: int | None = None,
) -> Windows:
    """Cut each symbol's candles to the last `lookback` that had closed by `as_of`.

    A window begins after the last hole of more than `LONGEST_GAP` candles: the candles before it are often of
    another feed.

    Parameters
    ----------
    candles
        What `read_candles` returned.
    instruments
        By symbol; every one of them gets a window or a reason.
    as_of
        Aware instant.
    min_candles
        The fewest candles that the server forecasts from.
    stale_after
        A symbol is stale when more candles than these have closed since its newest one; None for
        `LONGEST_GAP` of the timeframe, as many as a window may lack.
    """
    parts = candles.partition_by("symbol", as_dict=True)
    found = Windows({}, {}, {})
    cut = WindowCut(timeframe, as_of, lookback, pred_len, min_candles, stale_after)
    for symbol, instrument in instruments.items():
        part = parts.get((symbol,), candles.clear())
        try:
            found.windows[symbol] = _window(part, instrument, cut)
        except StaleError as error:
            found.stale[symbol] = str(error)
        except ValueError as error:
            found.unusable[symbol] = str(error)
    return found


def _window(part: pl.DataFrame, instrument: Instrument, cut: WindowCut) -> CandleWindow:
    """Return one symbol's window; raises what `window_times` raises, and ValueError for a missing price."""
    timestamps = stamps_of(part["ts"])
    times = window_times(timestamps, instrument, cut)
    columns = _columns(part, times.kept)
    return CandleWindow(
        instrument,
        timestamps[times.kept],
        columns,
        times.future_timestamps,
        times.late,
        times.warnings,
        _missing_parts(part, cut.timeframe, times.kept),
    )


def _missing_parts(part: pl.DataFrame, timeframe: str, keep: Int64Array) -> MissingParts | None:
    """Return what aggregated candles at some positions lack, or None for stored ones."""
    source = part["aggregated_from"][0] if "aggregated_from" in part.columns else None
    if source is None:
        return None
    return MissingParts(timeframe, source, part["missing_parts"].to_numpy()[keep])


def _columns(part: pl.DataFrame, keep: Int64Array) -> dict[str, Float64Array]:
    """Return a window's features; volume and amount may have gaps (NaN), prices must be whole."""
    columns = {}
    for name in (*PRICES, "volume", "amount"):
        values = part[name].cast(pl.Float64).to_numpy()[keep]
        known = np.isfinite(values)
        if name in PRICES and not known.all():
            where = part["ts"][int(keep[np.argmin(known)])]
            raise ValueError(f"{name} is not a number at {where:%Y-%m-%d %H:%M} UTC; correct that candle")
        if known.any():
            columns[name] = values if known.all() else np.where(known, values, np.nan)
    if "volume" not in columns:
        columns.pop("amount", None)
    return columns
