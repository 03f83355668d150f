"""Candles, calendar and calibrations of a part of the past, as they were known at each instant."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl
import psycopg

from flows.backfilling.missing import Missing
from flows.backfilling.past_range import TimeSlice
from flows.events import EventRequest, EventResult, build_event_arrays, load_config
from flows.events.config import EventConfig
from flows.events.source import AHEAD, BEFORE, EventSources, Span, read_sources, span_of
from flows.forecasting.candles import Windows, closed_windows, read_candles
from flows.scoring.calibration_store import CalibrationHistory, read_calibration_history
from inference_server.schemas import ModelInfo
from market.closed_candles import STILL_OPEN
from market.instruments import Instrument
from market.timeframes import CANDLE_DURATION

_SLACK: Final = 3.5  # hours or days per candle on an exchange, the market that is shut longest
_LONGEST_CLOSURE: Final = timedelta(days=10)


@dataclass(frozen=True)
class PastMarket:
    """What the forecasts of a part of the range are made from.

    Attributes
    ----------
    candles
        By symbol, columns of `flows.runtime.table_columns.CANDLES`, oldest first.
    sources
        Tables of the event arrays; None for forecasts without events.
    """

    timeframe: str
    instruments: Mapping[str, Instrument]
    candles: Mapping[str, pl.DataFrame]
    sources: EventSources | None
    calibrations: CalibrationHistory
    config: EventConfig

    def windows(
        self, symbols: Iterable[str], as_of: datetime, lookback: int, pred_len: int, min_candles: int
    ) -> Windows:
        """Cut the candles of some symbols to the windows that a run at an instant would have cut."""
        recent = [
            frame.slice(max(0, end - lookback - STILL_OPEN), min(end, lookback + STILL_OPEN))
            for frame in (self.candles[symbol] for symbol in symbols if symbol in self.candles)
            if (end := int(frame["ts"].search_sorted(as_of)))
        ]
        return closed_windows(
            pl.concat(recent) if recent else next(iter(self.candles.values())).clear(),
            {symbol: self.instruments[symbol] for symbol in symbols},
            self.timeframe,
            as_of,
            lookback=lookback,
            pred_len=pred_len,
            min_candles=min_candles,
        )

    def event_arrays(self, requests: Sequence[EventRequest]) -> Mapping[str, EventResult]:
        """Build the event arrays of one instant from the rows that a run at it would have read.

        Raises
        ------
        EventError
            No array can be built.
        ValueError
            The market was read without the tables of event arrays.
        """
        if self.sources is None:
            raise ValueError("the calendar was not read: these forecasts are without events")
        if not requests:
            return {}
        span = span_of(requests)
        first, end = span.start - BEFORE, span.end + AHEAD
        return build_event_arrays(
            requests,
            _between(self.sources.calendar, "event_time", first, end),
            self.sources.leaders,
            self.config,
            _between(self.sources.rates, "decision_time", first, end),
        )


def read_past_market(
    connection: psycopg.Connection[Any],
    model: ModelInfo,
    timeframe: str,
    instruments: Mapping[str, Instrument],
    missing: Missing,
    part: TimeSlice,
    lookback: int,
    pred_len: int,
    *,
    with_events: bool,
) -> PastMarket:
    """Read everything that the missing forecasts of a part of the range are made from, each table once."""
    length = CANDLE_DURATION[timeframe]
    symbols = list(missing.starts)
    count = int((part.until - part.after) / length) + 2 + lookback
    frame = read_candles(connection, timeframe, symbols, count, part.until)
    candles = {str(symbol): rows for (symbol,), rows in frame.partition_by("symbol", as_dict=True).items()}
    config = load_config()
    sources = None
    if with_events and not frame.is_empty():
        first: Any = frame["ts"].min()
        end = part.until + pred_len * length * _SLACK + _LONGEST_CLOSURE
        sources = read_sources(connection, Span(first, part.until, end, frozenset({timeframe})), config)
    calibrations = read_calibration_history(
        connection, timeframe, model.name, model.version, part.after, part.until
    )
    return PastMarket(timeframe, instruments, candles, sources, calibrations, config)


def _between(frame: pl.DataFrame, column: str, first: datetime, end: datetime) -> pl.DataFrame:
    """Return the rows from an instant (included) to another (excluded) of a frame in order of time."""
    times = frame[column]
    start = int(times.search_sorted(first, side="left"))
    return frame.slice(start, int(times.search_sorted(end, side="left")) - start)
