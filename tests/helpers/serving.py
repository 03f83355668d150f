"""What tests of the running application share: generated candles, and a client of a ready application."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from litestar.testing import TestClient

from inference_server.app import create_app
from inference_server.settings import Settings

START = np.datetime64("2024-03-04T00:00", "us")
HOUR = np.timedelta64(1, "h")
# What the test client sends as Host; its own default is no name of this machine.
LOOPBACK = "http://127.0.0.1:8200"
AS_JSON = {"Content-Type": "application/json"}
PATIENCE_S = 60.0


def candles(count: int = 40, start: np.datetime64 = START) -> dict[str, list[Any]]:
    """Hourly candles of a random walk as the columns of a request."""
    draws = np.random.default_rng(count)
    close = 100 + draws.normal(size=count).cumsum()
    return {
        "timestamp": [f"{moment}Z" for moment in (start + np.arange(count) * HOUR).astype("datetime64[s]")],
        "open": (close - 0.1).tolist(),
        "high": (close + 1).tolist(),
        "low": (close - 1).tolist(),
        "close": close.tolist(),
        "volume": draws.uniform(1, 2, count).tolist(),
    }


@contextmanager
def ready_client(bundle: Path, **settings: Any) -> Iterator[TestClient[Any]]:
    """A client of an application in this process whose model is loaded."""
    app = create_app(Settings(bundle=bundle, threads=1, **settings))
    with TestClient(app, LOOPBACK, raise_server_exceptions=False) as client:
        give_up = time.monotonic() + PATIENCE_S
        while client.get("/health/ready").status_code != 200:
            assert time.monotonic() < give_up
            time.sleep(0.02)
        yield client
