"""Reads a folder of files: ``candles_1h``, of any timeframe, ``economic_calendar`` and ``instruments``."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import polars as pl

from flows.files import feeds
from flows.files.candle_files import NONE_KNOWN
from flows.files.frames import TableError, read_file
from flows.files.instruments import instruments_of
from market.aliases import with_packaged
from market.instruments import Instrument
from market.timeframes import TIMEFRAMES

FILES: Final = (*(f"candles_{timeframe}" for timeframe in TIMEFRAMES), "economic_calendar")
FILES_SHOWN: Final = "candles_1h, candles_1d, economic_calendar (or candles of another timeframe)"
"""The names of the files, for messages."""


def data_file(folder: Path, name: str) -> Path | None:
    """Return the Parquet or CSV file of that name in a folder, or None."""
    candidates = [folder / f"{name}{ending}" for ending in (".parquet", ".csv")]
    return next((file for file in candidates if file.is_file()), None)


def unchecked_frames(folder: Path) -> dict[str, pl.DataFrame]:
    """Return the files of a folder, as they are written, by those of the names `FILES` that are there.

    Raises
    ------
    TableError
        A file can't be read.
    """
    frames = {name: _read(folder, name, lambda frame: frame) for name in FILES}
    return {name: frame for name, frame in frames.items() if frame is not None}


def folder_candles(
    folder: Path, timeframe: str, instruments: Mapping[str, Instrument] = NONE_KNOWN
) -> pl.DataFrame | None:
    """Return the candles of a timeframe with the columns of its table, or None without a file.

    Parameters
    ----------
    instruments
        By symbol, as `flows.files.candle_files.read_candles` takes them.

    Raises
    ------
    TableError
        The file can't be read, or its rows are refused.
    """
    return _read(
        folder,
        f"candles_{timeframe}",
        lambda frame: feeds.candles(frame, timeframe, instruments=instruments),
    )


def folder_calendar(folder: Path) -> pl.DataFrame | None:
    """Return the calendar with the columns of ``economic_calendar``, or None without a file.

    Raises
    ------
    TableError
        The file can't be read, or its rows are refused.
    """
    return _read(folder, "economic_calendar", feeds.calendar)


def folder_instruments(folder: Path) -> dict[str, Instrument]:
    """Return the instruments of the file ``instruments``, and the packaged ones that it lacks, by symbol.

    Raises
    ------
    TableError
        The file can't be read, or its rows are refused.
    """
    rows = _read(folder, "instruments", feeds.instruments)
    return with_packaged({} if rows is None else instruments_of(rows))


def _read(folder: Path, name: str, check: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame | None:
    file = data_file(folder, name)
    if file is None:
        return None
    try:
        return check(read_file(file))
    except TableError as error:
        raise TableError(f"{file}: {error}") from error
