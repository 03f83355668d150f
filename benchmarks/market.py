"""Candles for the benchmarks: real ones where the folder is there, else generated ones."""

from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from flows.generated.market import generate_market
from inference_server.engine.jobs import ForecastJob
from market.candles import candle_features
from tests.market_data import market_folder, missing

PRICES = ("open", "high", "low", "close")


def data_folder() -> Path | None:
    """The folder with real candles and a calendar, where there is one."""
    return None if missing() else market_folder()


@cache
def hourly_candles(symbol: str) -> pl.DataFrame:
    """Hourly candles of a symbol, oldest first."""
    folder = data_folder()
    frame = pl.read_parquet(folder / "candles_1h.parquet") if folder else generate_market().candles_1h
    return frame.filter(pl.col("symbol") == symbol).sort("timestamp")


def job(length: int, pred_len: int, **settings: Any) -> ForecastJob:
    """A window of hourly BTC-USD candles as a job."""
    window = hourly_candles("BTC-USD")[500 : 500 + length + pred_len]
    stamps = window["timestamp"].dt.replace_time_zone(None).to_numpy()
    columns = {name: window[name][:length].to_numpy() for name in (*PRICES, "volume")}
    return ForecastJob(candle_features(**columns), stamps[:length], stamps[length:], **settings)
