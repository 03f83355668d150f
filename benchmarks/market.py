"""Returns the market of the benchmarks: real candles and calendar if their folder exists, else generated."""

from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from flows.files.market_folder import unchecked_frames
from flows.generated.market import generate_market
from inference_server.engine.jobs import ForecastJob
from market.candles import candle_features
from tests.market_data import market_folder, missing

PRICES = ("open", "high", "low", "close")


def data_folder() -> Path | None:
    """The folder with real candles and a calendar, where there is one."""
    return None if missing() else market_folder()


@cache
def market_frames(days: int = 600) -> tuple[dict[str, pl.DataFrame], str]:
    """Candles and calendar by the names of their files, and whether they are "real" or "generated".

    Parameters
    ----------
    days
        Of a generated market.
    """
    folder = data_folder()
    if folder is None:
        return generate_market(days=days).frames(), "generated"
    return unchecked_frames(folder), "real"


@cache
def hourly_candles(symbol: str) -> pl.DataFrame:
    """Hourly candles of a symbol, oldest first."""
    frames, _ = market_frames()
    return frames["candles_1h"].filter(pl.col("symbol") == symbol).sort("timestamp")


def job(length: int, pred_len: int, **settings: Any) -> ForecastJob:
    """A job on a window of hourly BTC-USD candles."""
    window = hourly_candles("BTC-USD")[500 : 500 + length + pred_len]
    stamps = window["timestamp"].dt.replace_time_zone(None).to_numpy()
    columns = {name: window[name][:length].to_numpy() for name in (*PRICES, "volume")}
    return ForecastJob(candle_features(**columns), stamps[:length], stamps[length:], **settings)
