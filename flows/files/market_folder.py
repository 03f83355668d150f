"""A folder with ``candles_1h``, ``candles_1d`` and ``economic_calendar`` as .parquet or .csv files."""

from pathlib import Path

import polars as pl

from flows.files import feeds
from flows.files.frames import TableError, read_file


def data_file(folder: Path, name: str) -> Path | None:
    """Return the Parquet or CSV file of that name in a folder, or None."""
    found = [folder / f"{name}{ending}" for ending in (".parquet", ".csv")]
    return next((file for file in found if file.is_file()), None)


def folder_candles(folder: Path, timeframe: str) -> pl.DataFrame | None:
    """Return the candles of a timeframe with the columns of its table, or None without a file.

    Raises
    ------
    TableError
        The file's rows are not fit to use.
    """
    file = data_file(folder, f"candles_{timeframe}")
    if file is None:
        return None
    try:
        return feeds.candles(read_file(file), timeframe)
    except TableError as error:
        raise TableError(f"{file}: {error}") from error


def folder_calendar(folder: Path) -> pl.DataFrame | None:
    """Return the calendar with the columns of ``economic_calendar``, or None without a file.

    Raises
    ------
    TableError
        The file's rows are not fit to use.
    """
    file = data_file(folder, "economic_calendar")
    if file is None:
        return None
    try:
        return feeds.calendar(read_file(file))
    except TableError as error:
        raise TableError(f"{file}: {error}") from error
