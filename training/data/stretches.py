"""Candles to train on, as stretches without a gap: from a folder of files or from the database."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import psycopg

from export.errors import ExportError
from flows.files.frames import TableError, conform, read_file
from flows.files.market_folder import folder_candles
from flows.forecasting.candles import read_candles
from flows.forecasting.universe import read_universe
from market.candles import candle_features
from market.instruments import Instrument, default_instruments
from market.time_grid import candle_bounds, future_timestamps
from market.timeframes import CANDLE_LENGTH, TIMEFRAMES
from market.types import DatetimeArray, Float32Array, Float64Array

# Trading candles that may be missing in a row before a stretch ends: a holiday that the calendar lacks.
MOST_MISSING: Final = {"1h": 24, "1d": 3}
_SEGMENT_SCHEMA: Final = {
    **dict.fromkeys(("symbol", "timeframe"), pl.String()),
    **dict.fromkeys(("start", "end"), pl.Datetime("us", "UTC")),
    **dict.fromkeys(("licence", "volume_unit", "repo"), pl.String()),
}
_EVERYTHING: Final = 10**8  # more candles than any symbol has


class TrainingError(ExportError):
    """A training that can't begin or go on: what was given, what is expected."""


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
        """The candles that open at `start` or later and have closed by `end`."""
        opens, closes = candle_bounds(self.instrument, self.timeframe, self.timestamps)
        kept = (opens >= start) & (closes <= end)
        events = None if self.events is None else self.events[kept]
        return replace(self, timestamps=self.timestamps[kept], candles=self.candles[kept], events=events)


@dataclass(frozen=True)
class Material:
    """Candle tables by timeframe, who the symbols are, and where a feed changes."""

    candles: Mapping[str, pl.DataFrame]
    instruments: Mapping[str, Instrument]
    segments: pl.DataFrame | None = None

    def stretches(self, symbols: Iterable[str] | None = None) -> list[Stretch]:
        """All stretches of the symbols, or of every symbol; none crosses a segment boundary or a gap.

        Raises
        ------
        TrainingError
            A symbol is unknown or has no candles.
        """
        found = []
        wanted = None if symbols is None else set(symbols)
        for timeframe, frame in self.candles.items():
            for (symbol,), rows in frame.partition_by("symbol", as_dict=True, maintain_order=True).items():
                if wanted is None or symbol in wanted:
                    found += self._of(str(symbol), timeframe, rows)
        missing = sorted((wanted or set()) - {stretch.instrument.symbol for stretch in found})
        if missing or not found:
            what = ", ".join(missing) or "any symbol"
            raise TrainingError(
                f"there are no usable candles of {what}; check the names, and with segments.csv the licences"
            )
        return found

    def permitted(self) -> dict[str, pl.DataFrame]:
        """The candle tables without the rows that no segment holds."""
        if self.segments is None:
            return dict(self.candles)
        found = {}
        for timeframe, frame in self.candles.items():
            mine = self.segments.filter(pl.col("timeframe") == timeframe).select("symbol", "start", "end")
            inside = frame.join_where(
                mine.rename({"symbol": "of"}),
                pl.col("symbol") == pl.col("of"),
                pl.col("ts") >= pl.col("start"),
                pl.col("ts") <= pl.col("end"),
            )
            found[timeframe] = inside.select(frame.columns).sort("symbol", "ts")
        return found

    def _of(self, symbol: str, timeframe: str, rows: pl.DataFrame) -> list[Stretch]:
        if symbol not in self.instruments:
            raise TrainingError(
                f"nothing tells when {symbol} trades; leave it out with --symbols, or read from a database "
                "whose table instruments has it"
            )
        instrument = self.instruments[symbol]
        if self.segments is None:
            return split_at_gaps(_stretch(instrument, timeframe, rows))
        mine = self.segments.filter((pl.col("symbol") == symbol) & (pl.col("timeframe") == timeframe))
        found = []
        for segment in mine.sort("start").to_dicts():
            part = rows.filter(pl.col("ts").is_between(segment["start"], segment["end"]))
            if part.height:
                whole = _stretch(instrument, timeframe, part, segment["licence"], segment["repo"])
                found += split_at_gaps(whole)
        return found


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
        The folder has no candles, or a file can't be used.
    """
    try:
        frames = {timeframe: folder_candles(folder, timeframe) for timeframe in TIMEFRAMES}
    except TableError as error:
        raise TrainingError(str(error)) from error
    candles = {timeframe: frame for timeframe, frame in frames.items() if frame is not None}
    if not candles:
        raise TrainingError(f"{folder} has neither candles_1h nor candles_1d as .parquet or .csv")
    segments = _permitted(folder / "segments.csv", licences) if (folder / "segments.csv").is_file() else None
    return Material(candles, default_instruments(), segments)


def read_database(connection: psycopg.Connection[Any], symbols: Sequence[str] | None) -> Material:
    """Read all candles of the symbols, or of every active instrument, from the candle tables."""
    try:
        universe = read_universe(connection, symbols)
    except LookupError as error:
        raise TrainingError(str(error)) from error
    now, names = datetime.now(UTC), list(universe.instruments)
    candles = {frame: read_candles(connection, frame, names, _EVERYTHING, now) for frame in TIMEFRAMES}
    return Material(candles, universe.instruments)


def split_at_gaps(stretch: Stretch) -> list[Stretch]:
    """Cut a stretch wherever more than `MOST_MISSING` candles of its calendar are missing."""
    stamps, most = stretch.timestamps, MOST_MISSING[stretch.timeframe]
    bar = CANDLE_LENGTH[stretch.timeframe]
    edges = [0]
    for i in np.flatnonzero(np.diff(stamps) > most * bar):
        following = future_timestamps(stretch.instrument, stretch.timeframe, stamps[i], most + 1)
        if following[-1] < stamps[i + 1]:
            edges.append(int(i) + 1)
    edges.append(len(stamps))
    return [
        replace(stretch, timestamps=stamps[a:b], candles=stretch.candles[a:b])
        for a, b in itertools.pairwise(edges)
    ]


def _permitted(file: Path, licences: Sequence[str]) -> pl.DataFrame:
    try:
        key = ["symbol", "timeframe", "start"]
        segments = conform(read_file(file), _SEGMENT_SCHEMA, [*key, "end", "licence"], key)
    except TableError as error:
        raise TrainingError(f"{file}: {error}") from error
    may = pl.any_horizontal(pl.col("licence").str.starts_with(licence) for licence in licences)
    return segments.filter(may)


def _stretch(
    instrument: Instrument, timeframe: str, rows: pl.DataFrame, licence: str = "", origin: str | None = ""
) -> Stretch:
    rows = rows.sort("ts")
    columns = {name: rows[name].cast(pl.Float64) for name in ("open", "high", "low", "close")}
    # Volume with a gap counts as absent, as in a forecast; so does an amount with one.
    for name in ("volume", "amount"):
        if not rows[name].null_count() and (name == "volume" or "volume" in columns):
            columns[name] = rows[name].cast(pl.Float64)
    candles = candle_features(**{name: values.to_numpy() for name, values in columns.items()})
    stamps = rows["ts"].dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")
    return Stretch(instrument, timeframe, stamps, candles, licence, origin or "")
