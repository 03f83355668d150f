"""Reads candles to measure on from a CSV or Parquet file."""

from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from export.accuracy.errors import CandleFileError
from export.accuracy.windows import CandleSeries
from market.candles import FEATURES, CandleError, features_without_gaps
from market.instruments import Instrument, default_instruments
from market.types import DatetimeArray
from market.unix_time import read_instant

TIME_COLUMNS: Final = ("timestamp", "ts")
"""Names of the column with the candles' times; `flows.load` takes both."""


def read_candles(file: Path) -> list[CandleSeries]:
    """Return the candles of a file, one series for each symbol.

    Parameters
    ----------
    file
        .csv or .parquet with the columns of a candle table: symbol, timestamp (or ts), open, high, low,
        close and, optionally, volume and amount. Others are ignored, and times without a zone are UTC.

    Raises
    ------
    CandleFileError
        The file can't be read, lacks a column, or has a value that can't be a candle's.
    """
    frame = _read(file)
    frame = frame.rename({name: name.strip().lower() for name in frame.columns})
    time = next((name for name in TIME_COLUMNS if name in frame.columns), None)
    missing = [name for name in ("symbol", *FEATURES[:4]) if name not in frame.columns]
    if time is None or missing:
        names = ", ".join([*missing, *(["timestamp"] if time is None else [])])
        raise CandleFileError(
            f"{file} lacks the columns {names}; expected are symbol, timestamp, open, high, low, close and "
            "optionally volume, amount, as in a candle table"
        )
    frame = frame.with_columns(pl.Series("stamp", _times(frame[time], file)))
    parts = frame.partition_by("symbol", as_dict=True, maintain_order=True)
    return [_series(str(symbol), part.sort("stamp"), file) for (symbol,), part in parts.items()]


def _read(file: Path) -> pl.DataFrame:
    ending = file.suffix.lower()
    if ending not in (".csv", ".parquet"):
        raise CandleFileError(f"{file} is neither .csv nor .parquet; expected is a file of candles")
    try:
        return pl.read_csv(file) if ending == ".csv" else pl.read_parquet(file)
    except (OSError, pl.exceptions.PolarsError) as error:
        problem = str(error).splitlines()[0]
        raise CandleFileError(f"the candles in {file} cannot be read: {problem}") from None


def _times(column: pl.Series, file: Path) -> DatetimeArray:
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone:
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if column.dtype.is_temporal():
        times = column.to_numpy().astype("datetime64[us]")
    else:
        texts = column.cast(pl.String).fill_null("").to_list()
        times = np.array([read_instant(text) or np.datetime64("NaT") for text in texts], "datetime64[us]")
    if np.isnat(times).any():
        row = int(np.isnat(times).argmax())
        raise CandleFileError(
            f"{file}: {column.name} is {column[row]!r} in row {row + 1}; a time like 2024-01-31T13:00:00Z is "
            "expected"
        )
    return times


def _series(symbol: str, frame: pl.DataFrame, file: Path) -> CandleSeries:
    stamps = frame["stamp"].to_numpy().astype("datetime64[us]")
    if (np.diff(stamps) <= np.timedelta64(0, "us")).any():
        raise CandleFileError(
            f"{file} has two candles of {symbol} at one time; give the candles of one timeframe, each once"
        )
    unknown = pl.lit(None, pl.Float64)
    columns = [
        (pl.col(name).cast(pl.Float64, strict=False) if name in frame.columns else unknown).alias(name)
        for name in FEATURES
    ]
    try:
        candles = features_without_gaps(frame.select(columns).to_numpy())
    except CandleError as error:
        when = "" if error.row is None else f" at {stamps[error.row]}"
        raise CandleFileError(f"{file}: candles of {symbol}{when}: {error}") from None
    instrument = default_instruments().get(symbol, Instrument(symbol, "unknown", "24/7"))
    return CandleSeries(symbol, instrument.asset_class, instrument.model_time_zone, stamps, candles)
