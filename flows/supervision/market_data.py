"""Decides what market a machine forecasts, and puts it into its database."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from flows.files.frames import TableError
from flows.files.market_folder import FILES_SHOWN, unchecked_frames
from flows.generate import continue_market, holds_candles, holds_generated_market, store_market
from flows.loading.market import load_market
from flows.supervision.errors import UpError
from flows.supervision.settings import UpSettings


def will_be_generated(connection: psycopg.Connection[Any], settings: UpSettings, data: Path | None) -> bool:
    """Return whether the database has a generated market, or gets one as an empty embedded one does.

    Parameters
    ----------
    connection
        To a migrated database.
    data
        Folder with the user's own files, None without.

    Raises
    ------
    UpError
        The user's files would be mixed with a generated market, or the folder has none.
    """
    generated = holds_generated_market(connection)
    if data is None:
        return generated or (settings.embedded and not holds_candles(connection))
    if generated:
        raise UpError(
            f"the database holds a generated market, which the files in {data} would be mixed with: "
            f"move {settings.data_folder} away, or set KRONOS_DATA_DIR to another folder"
        )
    if not unchecked_frames(data):
        raise UpError(f"{data} has none of {FILES_SHOWN} as .parquet or .csv")
    return False


def fill(
    connection: psycopg.Connection[Any], data: Path | None, *, generated: bool, say: Callable[[str], object]
) -> None:
    """Load the user's files, or generate a market or continue the one that there is.

    Raises
    ------
    UpError
        A file can't be read, or its rows are refused.
    """
    now = datetime.now(UTC)
    if data is not None:
        try:
            for note in load_market(connection, unchecked_frames(data)):
                say(note)
        except TableError as error:
            raise UpError(str(error)) from None
    elif generated and holds_candles(connection):
        continue_market(connection, now)
    elif generated:
        store_market(connection, now)
