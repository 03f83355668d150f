"""Chooses the instant and the symbols of the demo's forecasts."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl
import psycopg

from flows.events import load_config
from flows.events.titles import normal_title
from flows.forecasting.candles import read_candles
from flows.runtime.instruments import known_instruments
from market.instruments import Instrument

AHEAD: Final = timedelta(hours=6)
"""Time from the forecasts to a rate decision: near enough for the event to be active."""

MOST_SYMBOLS: Final = 12
TRAINED_ON: Final = ("fx", "metal", "crypto")
"""Asset classes of the checkpoint's training data, those with the most candles first."""


def instant_before_a_decision(frames: Mapping[str, pl.DataFrame]) -> datetime:
    """Return the instant `AHEAD` of the last FOMC decision up to a day after the last hourly candle.

    Parameters
    ----------
    frames
        As `flows.files.market_folder.unchecked_frames` returns them, with ``candles_1h``.

    Returns
    -------
    datetime
        Aware; a day after the last candle where the calendar has no such decision.
    """
    candles = frames["candles_1h"]
    end = max(instants(candles, "ts" if "ts" in candles.columns else "timestamp")) + timedelta(days=1)
    if "economic_calendar" not in frames:
        return end
    decisions = instants(fomc_decisions(frames["economic_calendar"]), "event_time")
    past = [decision for decision in decisions if decision <= end]
    return max(past) - AHEAD if past else end


def fomc_decisions(calendar: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of a calendar file that are decisions of the Federal Reserve."""
    config = load_config()
    fomc = config.releases["fomc"]
    names = {normal_title(name) for title in fomc.titles for name in config.names_of(fomc.currency, title)}
    titles = calendar["title"]
    decision = pl.Series([normal_title(title or "") in names for title in titles], dtype=pl.Boolean)
    if "currency" in calendar.columns:  # other banks' decisions may have the same title
        decision &= calendar["currency"].str.to_uppercase() == fomc.currency
    return calendar.filter(decision)


def instants(frame: pl.DataFrame, column: str) -> list[datetime]:
    """Return the distinct instants in a column, aware; a CSV file holds them as text."""
    times = frame[column]
    if times.dtype == pl.String:
        times = times.str.to_datetime(time_zone="UTC")
    return times.unique().to_list()


def symbols_to_forecast(connection: psycopg.Connection[Any], as_of: datetime) -> tuple[list[str], int]:
    """Return the symbols to forecast, and how many symbols have hourly candles before `as_of`."""
    instruments = known_instruments(connection)
    candles = read_candles(connection, "1h", list(instruments), 1, as_of)
    present = [instruments[symbol] for symbol in candles["symbol"].unique().sort()]
    return first_symbols(present), len(present)


def first_symbols(instruments: Sequence[Instrument]) -> list[str]:
    """Return at most `MOST_SYMBOLS` symbols of the classes `TRAINED_ON`, in their order and then by name.

    They are of all classes where there are none of these.
    """
    candidates = [item for item in instruments if item.asset_class in TRAINED_ON] or list(instruments)
    rank = {name: number for number, name in enumerate(TRAINED_ON)}
    candidates.sort(key=lambda item: (rank.get(item.asset_class, len(rank)), item.symbol))
    return [item.symbol for item in candidates[:MOST_SYMBOLS]]
