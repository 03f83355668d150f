"""Reads what the scheduled flows did last, and how far the candles of each symbol reach."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from inference_server.errors import DatabaseUnavailable
from inference_server.forecast.candle_store import CandleStore
from market.candle_warnings import candles_behind
from market.feed_grid import feed_grid
from market.instruments import Instrument
from market.time_grid import TimeGridError
from market.timeframes import CANDLE_LENGTH, CANDLE_TABLE
from market.times import instant
from sql.loading import load, load_for_table


@dataclass(frozen=True)
class FlowRun:
    """The last run of a deployment, flow and timeframe; the columns of flow_runs.

    Attributes
    ----------
    succeeded_at
        End of the last run that completed; None where none has.
    counts
        Number of symbols or forecasts by outcome.
    without_events
        Number of forecasts that were made without events; None for a flow that makes none.
    """

    deployment: str
    flow: str
    timeframe: str
    started_at: datetime
    ended_at: datetime
    state: str
    succeeded_at: datetime | None
    counts: Mapping[str, int]
    without_events: int | None


@dataclass(frozen=True)
class NewestCandle:
    """The newest stored candle of an active instrument."""

    timeframe: str
    symbol: str
    asset_class: str
    calendar: str
    opened_at: datetime


@dataclass(frozen=True)
class SymbolRun:
    """The last run that stored a forecast of a symbol or left it unchanged."""

    succeeded_at: datetime
    with_events: bool


@dataclass(frozen=True)
class Coverage:
    """Known and covered closes of the forecasts that matured in the last week, as in recent_coverage."""

    timeframe: str
    asset_class: str
    model_name: str
    closes: int
    covered: int
    closes_calibrated: int
    covered_calibrated: int


@dataclass
class FlowState:
    """What was read; empty where the database did not answer.

    Attributes
    ----------
    complete
        Whether everything was read.
    symbol_runs
        By timeframe and symbol.
    """

    complete: bool = False
    candles: list[NewestCandle] = field(default_factory=list)
    runs: list[FlowRun] = field(default_factory=list)
    symbol_runs: dict[tuple[str, str], SymbolRun] = field(default_factory=dict)
    coverage: list[Coverage] = field(default_factory=list)


async def read_flow_state(store: CandleStore) -> FlowState:
    """Read the state; after the first read that fails, which the store logs, the rest is left out."""
    state = FlowState()
    try:
        for timeframe, table in CANDLE_TABLE.items():
            rows = await store.rows(load_for_table("newest_of_active", table), {})
            state.candles += [NewestCandle(timeframe, *row) for row in rows]
        state.runs = [FlowRun(*row) for row in await store.rows(load("flow_runs"), {})]
        for timeframe, symbol, *about in await store.rows(load("symbol_runs"), {}):
            state.symbol_runs[timeframe, symbol] = SymbolRun(*about)
        state.coverage = [Coverage(*row) for row in await store.rows(load("recent_coverage"), {})]
        state.complete = True
    except DatabaseUnavailable:
        pass
    return state


class CandlesBehind:
    """Counts the candles that have closed by an instant since the newest stored one.

    Symbols of one calendar mostly have the same newest candle, for which it is counted once.
    """

    def __init__(self, now: datetime) -> None:
        self._now = instant(now)
        self._counts: dict[tuple[str, str, datetime], int | None] = {}

    def count(self, candle: NewestCandle) -> int | None:
        """Return the number; None where the trading calendar is unknown or does not cover the candle."""
        key = (candle.timeframe, candle.calendar, candle.opened_at)
        if key not in self._counts:
            self._counts[key] = self._counted(candle)
        return self._counts[key]

    def _counted(self, candle: NewestCandle) -> int | None:
        instrument = Instrument(candle.symbol, candle.asset_class, candle.calendar)
        opened = instant(candle.opened_at)
        # A feed may stamp its candles at another minute than the calendar: what opens within the newest one
        # is no later candle.
        last = opened + CANDLE_LENGTH[candle.timeframe] - np.timedelta64(1, "us")
        try:
            grid = feed_grid(instrument, candle.timeframe, np.empty(0, "datetime64[us]"))
            return candles_behind(instrument, grid, last, self._now)
        except TimeGridError:
            return None
