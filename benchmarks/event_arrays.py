"""Measures the milliseconds that the event arrays of a run take, for 1 to 1,000 symbols, T = 512 + 120.

``python -m benchmarks.event_arrays`` prints a Markdown table.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from benchmarks.market import market_frames
from flows.events import EventConfig, EventRequest, Leaders, build_event_arrays, load_config
from flows.events.source import AHEAD, BEFORE, YEAR_OF_VIX
from flows.files import feeds
from flows.generated.market import END
from market.instruments import default_instruments
from market.time_grid import closed_by, future_timestamps, past_timestamps

LOOKBACK, PRED_LEN = 512, 120
SYMBOLS = (1, 25, 100, 300, 1000)
AS_OF = datetime(2024, 6, 12, 12, tzinfo=UTC)  # the real candles of most symbols and leaders overlap here


@dataclass(frozen=True)
class Row:
    """The time of a run in milliseconds, the best of several."""

    market: str  # "real" or "generated"
    timeframe: str
    symbols: int
    ms: float

    @property
    def ms_each(self) -> float:
        return self.ms / self.symbols


def measure(counts: tuple[int, ...] = SYMBOLS) -> list[Row]:
    """Time a run of each number of symbols, in both timeframes.

    The tables cover the span that the flow reads for such a run. The instruments are of all classes, each
    under several names where there are too few. A time is the best of several, after a first run that fills
    the caches.
    """
    config = load_config()
    market, name, as_of = _market()
    rows: list[Row] = []
    for timeframe in ("1h", "1d"):
        requests = _requests(max(counts), timeframe, as_of)
        calendar, leaders = _tables(market, requests, config, as_of)
        for count in counts:
            best = _best_ms(requests[:count], calendar, leaders, config)
            rows.append(Row(name, timeframe, count, best))
    return rows


def table(rows: list[Row]) -> str:
    """The rows of `measure` as a Markdown table."""
    lines = ["| timeframe | symbols | ms for the run | ms per symbol |", "|---|---|---|---|"]
    lines += [f"| {row.timeframe} | {row.symbols} | {row.ms:.2f} | {row.ms_each:.3f} |" for row in rows]
    return "\n".join(lines)


def _best_ms(
    requests: list[EventRequest], calendar: pl.DataFrame, leaders: Leaders, config: EventConfig
) -> float:
    times = []
    for _ in range(1 + max(10, 60 // len(requests))):
        start = time.perf_counter()
        results = build_event_arrays(requests, calendar, leaders, config)
        times.append(1e3 * (time.perf_counter() - start))
        assert all(result.array is not None for result in results.values())
    return min(times[1:])


def _requests(count: int, timeframe: str, as_of: datetime) -> list[EventRequest]:
    instant = np.datetime64(as_of.replace(tzinfo=None), "us")
    symbols = ["EURUSD", "BTC-USD", "SPY", "NVDA", "XAUUSD", "GBPUSD", "ETH-USD", "USDJPY", "QQQ", "MSFT"]
    requests = []
    for number in range(count):
        instrument = default_instruments()[symbols[number % len(symbols)]]
        stamps = past_timestamps(instrument, timeframe, instant, LOOKBACK + 2)
        stamps = stamps[closed_by(instrument, timeframe, stamps, instant)][-LOOKBACK:]
        future = future_timestamps(instrument, timeframe, stamps[-1], PRED_LEN)
        name = instrument.symbol if number < len(symbols) else f"{instrument.symbol} {number}"
        requests.append(EventRequest(name, instrument, timeframe, stamps, future, instant))
    return requests


def _tables(
    market: tuple[pl.DataFrame, dict[str, pl.DataFrame]],
    requests: list[EventRequest],
    config: EventConfig,
    as_of: datetime,
) -> tuple[pl.DataFrame, Leaders]:
    """Cut the market to the span that `flows.events.source` reads for a run."""
    calendar, candles = market
    first = min(request.timestamps[0] for request in requests).item().replace(tzinfo=UTC)
    last = max(request.future_timestamps[-1] for request in requests).item().replace(tzinfo=UTC)
    leaders = pl.col("symbol").is_in([leader.symbol for leader in config.leaders.values()])
    spans = {"1h": timedelta(days=10), "1d": YEAR_OF_VIX}
    return calendar.filter(pl.col("event_time").is_between(first - BEFORE, last + AHEAD)), Leaders(
        {
            frame: rows.filter(leaders & pl.col("ts").is_between(first - spans[frame], as_of))
            for frame, rows in candles.items()
        }
    )


def _market() -> tuple[tuple[pl.DataFrame, dict[str, pl.DataFrame]], str, datetime]:
    """Return calendar and candles, "real" or "generated", and the instant of the forecasts."""
    frames, source = market_frames(days=1000)
    candles = {
        timeframe: frames[f"candles_{timeframe}"].rename({"timestamp": "ts"}) for timeframe in ("1h", "1d")
    }
    as_of = AS_OF if source == "real" else END
    return (feeds.calendar(frames["economic_calendar"]), candles), source, as_of


if __name__ == "__main__":
    print(table(measure()))
