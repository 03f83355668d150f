"""Requests with their candles in the body, to an application that has no database."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from litestar.testing import TestClient

from tests.helpers.serving import candles, ready_client

ASKED: dict[str, Any] = {
    "symbol": "BTC-USD",
    "timeframe": "1h",
    "pred_len": 4,
    "candles": candles(),
    "seed": 1,
    "sample_count": 9,
    "top_p": 1.0,
}


@contextmanager
def without_database(bundle: Path, folder: Path, **settings: Any) -> Iterator[TestClient[Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KRONOS_DATA_DIR", str(folder / "no-database"))
        with ready_client(bundle, **settings) as client:
            yield client


def answer(client: TestClient[Any], path: str = "/predict", **fields: Any) -> dict[str, Any]:
    response = client.post(path, json={**ASKED, **fields})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def encoded(events: np.ndarray) -> dict[str, Any]:
    data = base64.b64encode(events.astype("<f4").tobytes()).decode()
    return {"shape": list(events.shape), "data": data}
