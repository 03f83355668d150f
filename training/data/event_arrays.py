"""Builds the event arrays of stretches, with the code that builds those of a forecast."""

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
    """Return the calendar and leaders of a folder; leaders come from the permitted segments alone.

    Raises
    ------
    TrainingError
        The folder has no ``economic_calendar``, or the file is invalid.
    """
    try:
        calendar = folder_calendar(folder)
    except TableError as error:
        raise TrainingError(str(error)) from error
    if calendar is None:
        raise TrainingError(f"{folder} has no economic_calendar as .parquet or .csv, which events need")
    return EventSources(calendar, pl.DataFrame(), Leaders(material.permitted()))


def database_sources(connection: psycopg.Connection[Any], stretches: Sequence[Stretch]) -> EventSources:
    """Read the calendar, decisions and leaders of the span of the stretches from the database."""
    return read_sources(connection, span_of([_request(stretch) for stretch in stretches]), load_config())


def with_events(stretches: Sequence[Stretch], sources: EventSources) -> list[Stretch]:
    """Return the stretches with their event arrays.

    A row holds what was known when its candle closed, whatever candles follow, so that one array serves every
    window of a stretch; `windows.hide_after` zeroes what is not known at the cut of a window.

    Raises
    ------
    TrainingError
        The events of a stretch cannot be built.
    """
    config, stretches_with_events = load_config(), []
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
        stretches_with_events.append(replace(stretch, events=result.array))
    return stretches_with_events


def _request(stretch: Stretch) -> EventRequest:
    """Return a request for the rows of a whole stretch, and of no future candles."""
    _, closes = candle_bounds(stretch.instrument, stretch.timeframe, stretch.timestamps[-1:])
    return EventRequest(
        symbol=stretch.instrument.symbol,
        instrument=stretch.instrument,
        timeframe=stretch.timeframe,
        timestamps=stretch.timestamps,
        future_timestamps=np.zeros(0, "datetime64[us]"),
        as_of=closes[0],
    )
