"""Builds the request bodies of the load: forecasts from hourly candles sent inline."""

from datetime import UTC
from typing import Any

import msgspec

from benchmarks.market import PRICES, hourly_candles

LOOKBACK, PRED_LEN = 392, 24


def forecast(pred_len: int = PRED_LEN, lookback: int = LOOKBACK, **settings: Any) -> dict[str, Any]:
    """A body of /predict with the last `lookback` candles of a BTC-USD window."""
    window = hourly_candles("BTC-USD")[500 : 500 + lookback]
    columns = {name: window[name].to_list() for name in (*PRICES, "volume")}
    stamps = [stamp.astimezone(UTC).isoformat() for stamp in window["timestamp"]]
    body = {"symbol": "BTC-USD", "timeframe": "1h", "pred_len": pred_len, "lookback": lookback}
    return body | {"candles": {"timestamp": stamps, **columns}} | settings


def batch(symbols: int, paths: int, pred_len: int) -> dict[str, Any]:
    """A body of /predict-batch: the same window under several names, with future timestamps."""
    body = forecast(pred_len)
    candles = body.pop("candles")
    del body["symbol"]
    future = hourly_candles("BTC-USD")[500 + LOOKBACK : 500 + LOOKBACK + pred_len]["timestamp"]
    stamps = [stamp.astimezone(UTC).isoformat() for stamp in future]
    names = [f"S{number}" for number in range(symbols)]
    return body | {
        "symbols": names,
        "sample_count": paths,
        "candles": dict.fromkeys(names, candles),
        "future_timestamps": dict.fromkeys(names, stamps),
    }


def encoded(body: dict[str, Any]) -> bytes:
    """A body as JSON."""
    return msgspec.json.encode(body)
