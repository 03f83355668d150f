"""The real market as the event arrays take it: Parquet files in the columns of the database's queries."""

from pathlib import Path

import polars as pl
import pytest

from flows.events import EventConfig, load_config
from tests.helpers.event_markets import Market


@pytest.fixture(scope="session")
def market(market_data: Path) -> Market:
    calendar = pl.read_parquet(market_data / "economic_calendar.parquet")
    symbol = pl.when(pl.col("event_type") == "earnings").then(pl.col("title").str.strip_suffix(" Earnings"))
    calendar = calendar.select(
        "event_time",
        "time_known",
        pl.lit(True).alias("scheduled"),
        pl.lit(None, dtype=pl.String).alias("country"),
        "currency",
        symbol.alias("symbol"),
        "event_type",
        "title",
        "impact",
        actual="actual_value",
        forecast="forecast_value",
        previous="previous_value",
        hawkish_score=pl.lit(None, dtype=pl.Float64),
        source="source",
    )
    candles = {
        timeframe: pl.read_parquet(market_data / f"candles_{timeframe}.parquet").rename({"timestamp": "ts"})
        for timeframe in ("1h", "1d")
    }
    return Market(calendar, candles, load_config())


@pytest.fixture(scope="session")
def config() -> EventConfig:
    return load_config()
