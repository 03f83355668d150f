"""Serves upstream's predictor with FastAPI, one request at a time, as its users do.

``UPSTREAM_SIZE=mini KRONOS_PORT=8201 python -m benchmarks.load.upstream``
"""

import os
import threading
from typing import Any

import pandas as pd
import uvicorn
from fastapi import FastAPI

from benchmarks.models import MAX_CONTEXT, checkpoint
from market.candles import candle_features
from tests.helpers.oracle import COLUMNS, oracle_predictor

app = FastAPI()
predictor = oracle_predictor(checkpoint(os.environ.get("UPSTREAM_SIZE", "mini")), MAX_CONTEXT)
predictor_lock = threading.Lock()  # the predictor is not thread-safe


@app.post("/predict")
def predict(body: dict[str, Any]) -> dict[str, list[float]]:
    """Return the mean path, the only output of upstream's predictor."""
    columns = dict(body["candles"])
    past = pd.Series(pd.to_datetime(columns.pop("timestamp")).tz_localize(None))
    hour = pd.Timedelta(hours=1)
    future = pd.Series(pd.date_range(past.iloc[-1] + hour, periods=body["pred_len"], freq=hour))
    frame = pd.DataFrame(candle_features(**columns), columns=COLUMNS)
    with predictor_lock:
        forecast = predictor.predict(
            frame, past, future, body["pred_len"], T=1.0, top_k=0, top_p=0.9, sample_count=1, verbose=False
        )
    return {name: forecast[name].tolist() for name in COLUMNS}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["KRONOS_PORT"]), log_level="warning")
