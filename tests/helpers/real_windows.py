"""Real windows of candles as forecast jobs."""

from pathlib import Path
from typing import Any

import polars as pl

from inference_server.engine.jobs import ForecastJob
from market.candles import candle_features

PRICES = ("open", "high", "low", "close")


def real_job(
    folder: Path, symbol: str, start: int, length: int, pred_len: int, **settings: Any
) -> ForecastJob:
    """Hourly candles `start` … of a symbol; `columns` in the settings drops volume (4) or amount (5)."""
    candles = pl.read_parquet(folder / "candles_1h.parquet").filter(pl.col("symbol") == symbol)
    window = candles.sort("timestamp")[start : start + length + pred_len]
    stamps = window["timestamp"].dt.replace_time_zone(None).to_numpy()
    columns = {name: window[name][:length].to_numpy() for name in (*PRICES, "volume")}
    return ForecastJob(candle_features(**columns), stamps[:length], stamps[length:], **settings)
