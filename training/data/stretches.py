"""Reads candles to train on from a folder or the database, cut into stretches without gaps."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import psycopg

from export.errors import ExportError
from flows.files.frames import TableError, conform, read_file
from flows.files.market_folder import folder_candles
from flows.forecasting.universe import read_universe
from flows.runtime.candle_columns import stored_candles
from market.candles import candle_features
from market.instruments import Instrument, default_instruments
from market.time_grid import candle_bounds, future_timestamps
from market.timeframes import CANDLE_DURATION, CANDLE_LENGTH, INTRADAY, TIMEFRAMES
from market.types import DatetimeArray, Float32Array, Float64Array

MOST_MISSING: Final = {
    **{timeframe: timedelta(days=1) // CANDLE_DURATION[timeframe] for timeframe in INTRADAY},
    "1d": 3,
    "1w": 1,
}
"""Candles of the calendar in a row that a stretch may lack: as many as a holiday that the calendar lacks."""

_SEGMENT_SCHEMA: Final = {
    **dict.fromkeys(("symbol", "timeframe"), pl.String()),
    **dict.fromkeys(("start", "end"), pl.Datetime("us", "UTC")),
    **dict.fromkeys(("licence", "volume_unit", "repo"), pl.String()),
}
_ALL_CANDLES: Final = 10**8  # more than any symbol has


class TrainingError(ExportError):
    """The data, settings or losses of a training are unusable; the message says which and why."""


@dataclass(frozen=True)
class Stretch:
    """Candles of one symbol and one feed that follow each other without a gap.

    Attributes
    ----------
    timestamps : (n,) datetime64[us]
        UTC, as stored.
    candles : (n, 6) float64
        open, high, low, close, volume, amount in raw units.
    licence, origin
        Of the feed, as the segments say; empty where there are none.
    events : (n, 20) float32 or None
        Event array, every row with what was known when its candle had closed.
    """

    instrument: Instrument
    timeframe: str
    timestamps: DatetimeArray
    candles: Float64Array
    licence: str = ""
    origin: str = ""
    events: Float32Array | None = None

    def __len__(self) -> int:
        return len(self.timestamps)

    def between(self, start: np.datetime64, end: np.datetime64) -> "Stretch":
        """Return the candles that open at `start` or later and close by `end`."""
        opens, closes = candle_bounds(self.instrument, self.timeframe, self.timestamps)
        inside = (opens >= start) & (closes <= end)
        events = None if self.events is None else self.events[inside]
        return replace(self, timestamps=self.timestamps[inside], candles=self.candles[inside], events=events)


@dataclass(frozen=True)
class Material:
    """Candle tables as read.

    Attributes
    ----------
    candles
        By timeframe.
    instruments
        By symbol.
    segments
        The spans of the permitted feeds by symbol and timeframe; None where every candle may be used.
    """

    candles: Mapping[str, pl.DataFrame]
    instruments: Mapping[str, Instrument]
    segments: pl.DataFrame | None = None

    def stretches(self, symbols: Iterable[str] | None = None) -> list[Stretch]:
        """Return all stretches of the symbols, or of every symbol; none crosses a segment boundary or a gap.

        Raises
        ------
        TrainingError
            A symbol is unknown or has no candles.
        """
        stretches = []
        wanted = None if symbols is None else set(symbols)
        for timeframe, frame in self.candles.items():
            for (symbol,), rows in frame.partition_by("symbol", as_dict=True, maintain_order=True).items():
                if wanted is None or symbol in wanted:
                    stretches += self._stretches_of(str(symbol), timeframe, rows)
        missing = sorted((wanted or set()) - {stretch.instrument.symbol for stretch in stretches})
        if missing or not stretches:
            names = ", ".join(missing) or "any symbol"
            raise TrainingError(
                f"there are no usable candles of {names}; check the names, and with segments.csv the licences"
            )
        return stretches

    def permitted(self) -> dict[str, pl.DataFrame]:
        """Return the candle tables with the rows of permitted segments alone."""
        if self.segments is None:
            return dict(self.candles)
        tables = {}
        for timeframe, frame in self.candles.items():
            spans = self.segments.filter(pl.col("timeframe") == timeframe).select("symbol", "start", "end")
            inside = frame.join_where(
                spans.rename({"symbol": "segment_symbol"}),
                pl.col("symbol") == pl.col("segment_symbol"),
                pl.col("ts") >= pl.col("start"),
                pl.col("ts") <= pl.col("end"),
            )
            tables[timeframe] = inside.select(frame.columns).sort("symbol", "ts")
        return tables

    def _stretches_of(self, symbol: str, timeframe: str, rows: pl.DataFrame) -> list[Stretch]:
        if symbol not in self.instruments:
            raise TrainingError(
                f"the trading hours of {symbol} are unknown; leave it out with --symbols, or read from a "
                "database whose table instruments has it"
            )
        instrument = self.instruments[symbol]
        if self.segments is None:
            return split_at_gaps(_stretch(instrument, timeframe, rows))
        segments = self.segments.filter((pl.col("symbol") == symbol) & (pl.col("timeframe") == timeframe))
        stretches = []
        for segment in segments.sort("start").to_dicts():
            part = rows.filter(pl.col("ts").is_between(segment["start"], segment["end"]))
            if part.height:
                feed = _stretch(instrument, timeframe, part, segment["licence"], segment["repo"])
                stretches += split_at_gaps(feed)
        return stretches


def read_folder(folder: Path, licences: Sequence[str]) -> Material:
    """Read ``candles_1h`` and ``candles_1d`` (.parquet or .csv), and ``segments.csv`` where there is one.

    Parameters
    ----------
    licences
        Beginnings of the licences that permit training; segments with others are left out. Without
        ``segments.csv`` every candle is used.

    Raises
    ------
    TrainingError
        The folder has no candles, or a file is invalid.
    """
    try:
        frames = {timeframe: folder_candles(folder, timeframe) for timeframe in TIMEFRAMES}
    except TableError as error:
        raise TrainingError(str(error)) from error
    candles = {timeframe: frame for timeframe, frame in frames.items() if frame is not None}
    if not candles:
        raise TrainingError(f"{folder} has neither candles_1h nor candles_1d nor another timeframe")
    file = folder / "segments.csv"
    segments = _permitted_segments(file, licences) if file.is_file() else None
    return Material(candles, default_instruments(), segments)


def read_database(connection: psycopg.Connection[Any], symbols: Sequence[str] | None) -> Material:
    """Read all candles of the symbols, or of every active instrument, from the candle tables."""
    try:
        universe = read_universe(connection, symbols)
    except LookupError as error:
        raise TrainingError(str(error)) from error
    now, names = datetime.now(UTC), list(universe.instruments)
    candles = {
        timeframe: stored_candles(connection, timeframe, names, _ALL_CANDLES, now) for timeframe in TIMEFRAMES
    }
    return Material(candles, universe.instruments)


def split_at_gaps(stretch: Stretch) -> list[Stretch]:
    """Cut a stretch wherever more than `MOST_MISSING` candles of its calendar are missing."""
    stamps, most = stretch.timestamps, MOST_MISSING[stretch.timeframe]
    long_steps = np.diff(stamps) > most * CANDLE_LENGTH[stretch.timeframe]
    edges = [0]
    for row in np.flatnonzero(long_steps):  # weekends too, where no candle is missing
        following = future_timestamps(stretch.instrument, stretch.timeframe, stamps[row], most + 1)
        if following[-1] < stamps[row + 1]:
            edges.append(int(row) + 1)
    edges.append(len(stamps))
    return [
        replace(stretch, timestamps=stamps[start:end], candles=stretch.candles[start:end])
        for start, end in itertools.pairwise(edges)
    ]


def _permitted_segments(file: Path, licences: Sequence[str]) -> pl.DataFrame:
    """Read the segments whose licence begins with one of those given."""
    try:
        key = ["symbol", "timeframe", "start"]
        segments = conform(read_file(file), _SEGMENT_SCHEMA, [*key, "end", "licence"], key)
    except TableError as error:
        raise TrainingError(f"{file}: {error}") from error
    is_permitted = pl.any_horizontal(pl.col("licence").str.starts_with(licence) for licence in licences)
    return segments.filter(is_permitted)


def _stretch(
    instrument: Instrument, timeframe: str, rows: pl.DataFrame, licence: str = "", origin: str | None = ""
) -> Stretch:
    rows = rows.sort("ts")
    columns = {name: rows[name].cast(pl.Float64) for name in ("open", "high", "low", "close")}
    # A volume or amount with a gap counts as absent, as in a forecast.
    for name in ("volume", "amount"):
        if not rows[name].null_count() and (name == "volume" or "volume" in columns):
            columns[name] = rows[name].cast(pl.Float64)
    candles = candle_features(**{name: values.to_numpy() for name, values in columns.items()})
    stamps = rows["ts"].dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")
    return Stretch(instrument, timeframe, stamps, candles, licence, origin or "")
