"""What a server keeps of requests that it has answered: nothing, and that without the garbage collector."""

import gc
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from inference_server.schemas import Candles, PredictAnswer, PredictRequest
from tests.helpers.serving import candles, ready_client

BODY: dict[str, Any] = {"symbol": "BTC-USD", "timeframe": "1h", "pred_len": 4, "candles": candles()}


@pytest.fixture(scope="module")
def server(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient[Any]]:
    """A server without a database, which every request without future timestamps looks for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KRONOS_DATA_DIR", str(tmp_path_factory.mktemp("none") / "no-database"))
        with ready_client(tiny_bundle) as client:
            yield client


def kept() -> list[object]:
    kinds = (PredictRequest, PredictAnswer, Candles)
    return [found for found in gc.get_objects() if type(found) in kinds]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"return_samples": "full", "sample_count": 9},
        {"events": [[0.0] * 20] * 40},
        {"sample_count": 26, "pred_len": 64, "return_samples": "full"},  # written in a thread
    ],
    ids=["plain", "samples", "events", "large"],
)
def test_nothing_is_kept_of_answered_requests(server: TestClient[Any], fields: dict[str, Any]) -> None:
    assert server.post("/predict", json=BODY).status_code == 200
    gc.collect()
    others = {id(found) for found in kept()}  # of other tests in this process

    def new() -> list[str]:
        return [type(found).__name__ for found in kept() if id(found) not in others]

    gc.disable()
    try:
        for _ in range(3):
            assert server.post("/predict", json=BODY | fields).status_code == 200
        give_up = time.monotonic() + 10.0
        while new() and time.monotonic() < give_up:
            time.sleep(0.02)  # the server's threads end a moment after the answer is there
        assert new() == []
    finally:
        gc.enable()
