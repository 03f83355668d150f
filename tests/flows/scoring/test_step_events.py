"""Tests which releases fall on the candles of a forecast, and which days have one."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from flows.events import load_config
from flows.files import feeds
from flows.runtime.table_columns import ECONOMIC_CALENDAR
from flows.scoring.step_events import ReleaseDays, StepEvents
from market.instruments import default_instruments
from market.time_grid import future_timestamps


def calendar(*releases: tuple[str, str, str]) -> pl.DataFrame:
    rows = [
        {
            "event_time": datetime.fromisoformat(time).replace(tzinfo=UTC),
            "currency": currency,
            "title": title,
            "event_type": "other",
            "time_known": True,
            "scheduled": True,
        }
        for time, currency, title in releases
    ]
    return pl.DataFrame(rows, schema=ECONOMIC_CALENDAR)


CALENDAR = calendar(
    ("2024-06-05T12:15", "CAD", "Overnight Rate"),
    ("2024-06-12T12:30", "USD", "CPI m/m"),
    ("2024-06-12T18:00", "USD", "Federal Funds Rate"),
    ("2024-07-31T18:00", "USD", "Federal Funds Rate"),
)


def of(
    symbol: str, timeframe: str, last: str, count: int, rows: pl.DataFrame = CALENDAR
) -> StepEvents | None:
    instrument = default_instruments()[symbol]
    stamps = future_timestamps(instrument, timeframe, np.datetime64(last, "us"), count)
    return ReleaseDays(rows, None, [symbol], load_config()).of(instrument, timeframe, stamps)


def test_hours() -> None:
    events = of("EURUSD", "1h", "2024-06-12T10:00", 15)
    assert events is not None
    placed = {step: kinds for step, kinds in enumerate(events.kinds) if kinds}
    assert placed == {1: ["cpi"], 7: ["fomc", "rate_decision"]}
    assert events.event_day.tolist() == [True] * 13 + [False] * 2  # the date ends at 24:00 UTC


def test_a_release_before_the_session_falls_on_its_first_hour() -> None:
    events = of("SPY", "1h", "2024-06-11T19:30", 3)
    assert events is not None
    assert events.kinds == [["cpi"], [], []]


def test_days() -> None:
    events = of("SPY", "1d", "2024-06-10", 4)
    assert events is not None
    assert events.kinds == [[], ["fomc", "cpi", "rate_decision"], [], []]
    assert events.event_day.tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("last", "count"), [("2024-06-25T00:00", 24), ("2024-07-31T00:00", 48), ("2023-01-02T00:00", 4)]
)
def test_a_calendar_that_does_not_cover_the_forecast_gives_no_events(last: str, count: int) -> None:
    assert of("BTC-USD", "1h", last, count) is None


def test_another_symbol_s_earnings_are_no_event() -> None:
    rows = calendar(
        ("2024-06-12T20:00", "USD", "Earnings"), ("2024-06-30T18:00", "USD", "Federal Funds Rate")
    )
    rows = rows.with_columns(
        event_type=pl.Series(["earnings", "other"]), symbol=pl.Series(["MSFT", None], dtype=pl.String)
    )
    own, other = (of(symbol, "1d", "2024-06-11", 2, rows) for symbol in ("MSFT", "NVDA"))
    assert own is not None
    assert other is not None
    assert (own.kinds, other.kinds) == ([[], ["earnings"]], [[], []])


def test_real_releases(market_data: Path) -> None:
    rows = feeds.calendar(pl.read_parquet(market_data / "economic_calendar.parquet"))
    events = of("EURUSD", "1h", "2022-06-14T23:00", 24, rows)
    assert events is not None
    assert "fomc" in events.kinds[18]
    assert events.event_day.all()
