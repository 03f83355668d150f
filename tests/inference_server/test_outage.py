"""A database that dies and comes back under a running server: 503 where it is needed, forecasts elsewhere."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from inference_server.http.problems import TYPE_PREFIX
from sql.connect import connect
from sql.embedded import server as embedded
from sql.migrate import migrate
from tests.helpers.database_folders import database_folder
from tests.helpers.serving import candles, ready_client
from tests.inference_server.forecast.test_candle_store import insert
from tests.inference_server.test_metrics import figures_of

ASKED = {"symbol": "BTC-USD", "timeframe": "1h", "pred_len": 2, "lookback": 40}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for a Postgres of the test's own."""
    with database_folder("test-outage") as folder:
        try:
            yield folder
        finally:
            embedded.stop(folder)


def test_inline_requests_outlive_the_database(tiny_bundle: Path, folder: Path) -> None:
    url = embedded.start(folder)
    with connect(url, autocommit=True) as connection:
        migrate(connection)
        insert(connection, "BTC-USD", candles(50))
    inline = {**ASKED, "candles": candles()}
    with ready_client(tiny_bundle, database_url=url, database_timeout_s=2.0) as client:
        assert client.post("/predict", json=ASKED).status_code == 200
        embedded.stop(folder)
        for _ in range(2):
            refused = client.post("/predict", json=ASKED)
            assert (refused.status_code, refused.json()["type"]) == (
                503,
                TYPE_PREFIX + "database-unavailable",
            )
            assert client.post("/predict", json=inline).status_code == 200
        assert client.get("/health/ready").status_code == 200
        batch = client.post("/predict-batch", json={**ASKED, "symbols": ["BTC-USD", "ETH-USD"],
                                                    "candles": {"ETH-USD": candles()}}).json()  # fmt: skip
        assert [one["error"] and one["error"]["status"] for one in batch["results"]] == [503, None]
        assert embedded.start(folder) == url
        assert client.post("/predict", json=ASKED).status_code == 200
        seen = figures_of(client.get("/metrics").text)
    assert seen["kronos_database_seconds_count", "failed"] >= 1
    assert seen["kronos_refusals_total", "database-unavailable"] == 3
