"""A market of real candles and a real calendar, with short calls that build event arrays and calendars."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from flows.events import EventConfig, EventRequest, Leaders, build_event_arrays
from flows.events.build import EventResult
from flows.runtime.table_columns import ECONOMIC_CALENDAR
from market.event_channels import EVENT_CHANNELS
from market.instruments import default_instruments
from market.time_grid import closed_by, future_timestamps
from market.types import DatetimeArray

_COLUMNS = {name: kind for name, kind in ECONOMIC_CALENDAR.items() if name != "withdrawn_at"}


def calendar_rows(*rows: dict[str, Any], **columns: Any) -> pl.DataFrame:
    """Return a calendar of rows as dicts; by default they are USD and timed, their figures null."""
    base = {
        "time_known": True,
        "scheduled": True,
        "country": None,
        "currency": "USD",
        "symbol": None,
        "event_type": "other",
        "impact": "high",
        "actual": None,
        "forecast": None,
        "previous": None,
        "hawkish_score": None,
        "source": "test",
    }
    filled = [base | columns | row | {"event_time": at(row["event_time"])} for row in rows]
    return pl.DataFrame(filled, schema=_COLUMNS)


def at(text: str | datetime) -> datetime:
    """Return an aware instant."""
    moment = datetime.fromisoformat(text) if isinstance(text, str) else text
    return moment.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Market:
    """Real candles by timeframe and a real calendar."""

    calendar: pl.DataFrame
    candles: dict[str, pl.DataFrame]
    config: EventConfig

    @cached_property
    def leaders(self) -> Leaders:
        symbols = [leader.symbol for leader in self.config.leaders.values()]
        return Leaders(
            {frame: rows.filter(pl.col("symbol").is_in(symbols)) for frame, rows in self.candles.items()}
        )

    @cached_property
    def stamps(self) -> dict[tuple[str, str], DatetimeArray]:
        return {
            (symbol, timeframe): mine["ts"].dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")
            for timeframe, rows in self.candles.items()
            for (symbol,), mine in rows.sort("ts").partition_by("symbol", as_dict=True).items()
        }

    def request(
        self,
        symbol: str,
        timeframe: str,
        as_of: str | np.datetime64,
        lookback: int = 512,
        pred_len: int = 120,
    ) -> EventRequest:
        instrument = default_instruments()[symbol]
        instant = (np.datetime64(as_of) if isinstance(as_of, str) else as_of).astype("datetime64[us]")
        stamps = self.stamps[symbol, timeframe]
        stamps = stamps[closed_by(instrument, timeframe, stamps, instant)][-lookback:]
        future = future_timestamps(instrument, timeframe, stamps[-1], pred_len)
        return EventRequest(symbol, instrument, timeframe, stamps, future, instant)

    def build(
        self,
        request: EventRequest,
        calendar: pl.DataFrame | None = None,
        leaders: Leaders | None = None,
        rates: pl.DataFrame | None = None,
    ) -> EventResult:
        calendar = self.calendar if calendar is None else calendar
        leaders = self.leaders if leaders is None else leaders
        return build_event_arrays([request], calendar, leaders, self.config, rates)[request.symbol]

    def rows(
        self,
        request: EventRequest,
        calendar: pl.DataFrame | None = None,
        leaders: Leaders | None = None,
        rates: pl.DataFrame | None = None,
    ) -> dict[str, dict[str, float]]:
        """Return the array as {channel name: {timestamp text: value}}, zeros left out."""
        result = self.build(request, calendar, leaders, rates)
        assert result.error is None
        assert result.array is not None
        stamps = np.concatenate([request.timestamps, request.future_timestamps])
        texts = np.datetime_as_string(stamps, unit="m")
        return {
            name: {str(texts[row]): float(result.array[row, i]) for row in np.flatnonzero(result.array[:, i])}
            for i, name in enumerate(EVENT_CHANNELS)
        }
