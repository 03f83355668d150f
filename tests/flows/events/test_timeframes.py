"""Events on the candles of every timeframe: one candle for each, countdowns in days, and their context."""

import numpy as np
import polars as pl
import pytest

from flows.events import EventConfig, Leaders, load_config
from flows.events.build import EventResult, build_event_arrays
from flows.events.request import EventRequest
from flows.runtime.table_columns import CANDLES
from market.instruments import default_instruments
from market.time_grid import candle_bounds, closed_by, future_timestamps, past_timestamps
from market.timeframes import TIMEFRAMES
from tests.helpers.event_markets import Market, calendar_rows
from tests.helpers.event_results import context_of

FOMC, CPI = "Federal Funds Rate", "CPI m/m"
CALENDAR = calendar_rows(
    {"event_time": "2024-03-20T18:00", "title": FOMC, "actual": 5.5, "forecast": 5.5},
    {"event_time": "2024-05-01T18:00", "title": FOMC, "actual": 5.5, "forecast": 5.5},
    {"event_time": "2024-05-15T12:30", "title": CPI},
    {"event_time": "2024-06-12T12:30", "title": CPI},
    {"event_time": "2024-06-12T18:00", "title": FOMC, "actual": 5.5, "forecast": 5.5},
    {"event_time": "2024-07-31T18:00", "title": FOMC},
)


@pytest.fixture(scope="module")
def events() -> Market:
    return Market(CALENDAR, {}, load_config())


def request(symbol: str, timeframe: str, as_of: str, lookback: int = 40, pred_len: int = 20) -> EventRequest:
    instrument, instant = default_instruments()[symbol], np.datetime64(as_of, "us")
    stamps = past_timestamps(instrument, timeframe, instant, lookback + 2)
    stamps = stamps[closed_by(instrument, timeframe, stamps, instant)][-lookback:]
    future = future_timestamps(instrument, timeframe, stamps[-1], pred_len)
    return EventRequest(symbol, instrument, timeframe, stamps, future, instant)


@pytest.mark.parametrize("symbol", ["BTC-USD", "EURUSD", "SPY"])
@pytest.mark.parametrize("timeframe", TIMEFRAMES)
def test_a_release_is_on_the_one_candle_that_closes_after_it(
    events: Market, timeframe: str, symbol: str
) -> None:
    lookback = 100 if timeframe == "1w" else 1000
    asked = request(symbol, timeframe, "2024-06-12T23:30", lookback, pred_len=20)
    rows = events.rows(asked, leaders=Leaders({}))
    stamps = np.concatenate([asked.timestamps, asked.future_timestamps])
    _, closes = candle_bounds(asked.instrument, timeframe, stamps)
    text = np.datetime_as_string(
        stamps[np.searchsorted(closes, np.datetime64("2024-06-12T18:00", "us"), "right")], "m"
    )
    on = [stamp for stamp in rows["is_fomc"] if stamp >= "2024-06-10"]
    later = {"2024-07-29T00:00", "2024-07-31T00:00"} if timeframe in ("1d", "1w") else set()
    assert [stamp for stamp in on if stamp not in later] == [str(text)]


@pytest.mark.parametrize("timeframe", TIMEFRAMES)
def test_countdowns_are_in_days(events: Market, timeframe: str) -> None:
    asked = request("BTC-USD", timeframe, "2024-06-10T00:00")
    rows = events.rows(asked, leaders=Leaders({}))
    (days,) = (np.datetime64("2024-06-12T18:00") - asked.timestamps[-1:]) / np.timedelta64(1, "D")
    stamp = str(np.datetime_as_string(asked.timestamps[-1], "m"))
    assert rows["days_to_fomc_sin"][stamp] == pytest.approx(np.sin(np.pi * days / 45), rel=1e-5)


@pytest.mark.parametrize(
    ("timeframe", "as_of", "active"),
    [
        # The next 24 hours, for whatever is shorter than a day.
        ("1m", "2024-06-11T18:00", True), ("1m", "2024-06-11T17:58", False), ("5m", "2024-06-11T18:00", True),
        ("30m", "2024-06-11T17:30", False), ("4h", "2024-06-11T20:00", True),
        ("4h", "2024-06-11T16:00", False),
        # On the last candle, and not any more after it.
        ("1m", "2024-06-12T18:01", True), ("1m", "2024-06-12T18:02", False),
        ("2h", "2024-06-12T20:00", True),
        # Within the next candle of a day or a week.
        ("1d", "2024-06-12T00:00", True), ("1d", "2024-06-11T00:00", False),
        ("1w", "2024-06-10T00:00", True), ("1w", "2024-06-03T00:00", False),
    ],
)  # fmt: skip
def test_the_context_looks_a_day_or_a_candle_ahead(
    events: Market, timeframe: str, as_of: str, active: bool
) -> None:
    calendar = CALENDAR.filter(pl.col("title") == FOMC)
    result = events.build(request("BTC-USD", timeframe, as_of), calendar, Leaders({}))
    found = [] if result.context is None else context_of(result)["events_active"]
    assert ("fomc" in found) == active


@pytest.mark.parametrize("timeframe", ["1m", "15m", "4h", "1w"])
def test_leaders_are_of_the_same_timeframe_and_known_by_the_open(timeframe: str) -> None:
    config: EventConfig = load_config()
    asked = request("EURUSD", timeframe, "2024-06-12T16:00")
    leader = config.leaders["btc"]
    stamps = past_timestamps(leader, timeframe, np.datetime64("2024-06-12T16:00", "us"), 60)
    closes = np.exp(np.arange(60) ** 2 / 1e4)
    columns = dict.fromkeys(("open", "high", "low", "close"), closes)
    frame = pl.DataFrame(
        {"symbol": ["BTC-USD"] * 60, "ts": pl.Series(stamps).dt.replace_time_zone("UTC"), **columns,
         "volume": closes, "amount": closes},
        schema=CANDLES,
    )  # fmt: skip
    (result,) = build_event_arrays([asked], CALENDAR, Leaders({timeframe: frame}), config, None).values()
    assert isinstance(result, EventResult)
    assert result.array is not None
    opens, _ = candle_bounds(asked.instrument, timeframe, asked.timestamps[-1:])
    known = candle_bounds(leader, timeframe, stamps)[1] <= opens[0]
    expected = np.diff(np.log(closes[known]))[-1]
    assert result.array[len(asked.timestamps) - 1, 14] == pytest.approx(expected, rel=1e-4)
