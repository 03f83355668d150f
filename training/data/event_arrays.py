"""Event arrays of whole stretches, built by the same code as those of a forecast."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psycopg

from flows.events import EventError, EventRequest, Leaders, build_event_arrays, load_config
from flows.events.source import EventSources, read_sources, span_of
from flows.files.frames import TableError
from flows.files.market_folder import folder_calendar
from market.time_grid import candle_bounds
from training.data.stretches import Material, Stretch, TrainingError


def folder_sources(folder: Path, material: Material) -> EventSources:
    """Calendar and leaders of a folder of files; leaders come from the permitted segments alone.

    Raises
    ------
    TrainingError
        The folder has no ``economic_calendar``, or it can't be used.
    """
    try:
        calendar = folder_calendar(folder)
    except TableError as error:
        raise TrainingError(str(error)) from error
    if calendar is None:
        raise TrainingError(f"{folder} has no economic_calendar as .parquet or .csv; events need one")
    return EventSources(calendar, pl.DataFrame(), Leaders(material.permitted()))


def database_sources(connection: psycopg.Connection[Any], stretches: Sequence[Stretch]) -> EventSources:
    """Calendar, decisions and leaders from the database, for the span of the stretches."""
    return read_sources(connection, span_of([_request(stretch) for stretch in stretches]), load_config())


def with_events(stretches: Sequence[Stretch], sources: EventSources) -> list[Stretch]:
    """The stretches with their event arrays.

    A row of history holds what was known when its candle had closed, however much history follows it, so
    one array serves every window of a stretch; `windows.hide_after` takes away what a forecast can't know.

    Raises
    ------
    TrainingError
        The events of a stretch can't be built.
    """
    config, found = load_config(), []
    for stretch in stretches:
        symbol = stretch.instrument.symbol
        try:
            result = build_event_arrays(
                [_request(stretch)], sources.calendar, sources.leaders, config, sources.rates
            )[symbol]
        except EventError as error:
            raise TrainingError(f"events of {symbol} {stretch.timeframe}: {error}") from error
        if result.array is None:
            raise TrainingError(f"events of {symbol} {stretch.timeframe}: {result.error}")
        found.append(replace(stretch, events=result.array))
    return found


def _request(stretch: Stretch) -> EventRequest:
    stamps = stretch.timestamps
    as_of = candle_bounds(stretch.instrument, stretch.timeframe, stamps[-1:])[1][0]
    nothing = np.zeros(0, "datetime64[us]")
    return EventRequest(
        stretch.instrument.symbol, stretch.instrument, stretch.timeframe, stamps, nothing, as_of
    )
