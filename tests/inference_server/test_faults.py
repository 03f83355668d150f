"""Faults of every kind: no answer and no line of the log tells what is none of its reader's business."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from litestar.testing import TestClient

from inference_server.app import create_app
from inference_server.forecast.service import Forecasts
from inference_server.settings import Settings
from sql.connect import connect
from tests.helpers.databases import temporary_copy
from tests.helpers.serving import AS_JSON, LOOPBACK, candles, ready_client
from tests.inference_server.forecast.test_candle_store import insert

KEY, PASSWORD = "key-that-nobody-may-see", "password-that-nobody-may-see"
ASKED: dict[str, Any] = {"symbol": "BTC-USD", "timeframe": "1h", "pred_len": 2, "lookback": 40}
ROOT = str(Path(__file__).parents[2])
INSIDE = ("Traceback", 'File "', "psycopg", "SELECT ", "relation ", "column ", "site-packages", "/tmp", ROOT,
          "postgresql:", "127.0.0.1", KEY, PASSWORD)  # fmt: skip


def check(response: Any, status: int) -> None:
    """The answer is a problem of the status, and tells nothing of the inside."""
    assert response.status_code == status, response.text
    shown = response.text + str(response.headers)
    assert [word for word in INSIDE if word in shown] == []
    problem = response.json()
    assert {"type", "title", "status", "detail"} <= set(problem)


@pytest.fixture(scope="module")
def database_url(postgres_url: str, migrated_template: str) -> Iterator[str]:
    """URL of the database of all tests here; the last one breaks it."""
    with temporary_copy(postgres_url, migrated_template) as url:
        yield url


@pytest.fixture(scope="module")
def server(tiny_bundle: Path, database_url: str) -> Iterator[TestClient[Any]]:
    with connect(database_url, autocommit=True) as connection:
        insert(connection, "BTC-USD", candles(50))
    with ready_client(
        tiny_bundle, database_url=database_url, database_timeout_s=1.0, api_keys=(KEY,), max_body_bytes=50_000
    ) as client:
        client.headers["Authorization"] = f"Bearer {KEY}"
        yield client


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://nobody:{PASSWORD}@127.0.0.1:1/none",
        f"postgresql://nobody:{PASSWORD}@[::1/none",
        f"mysql://nobody:{PASSWORD}@127.0.0.1/none",
        f"host=127.0.0.1 password={PASSWORD}",
    ],
)
def test_a_database_whose_address_is_wrong(
    tiny_bundle: Path, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(tiny_bundle, database_url=url, database_timeout_s=1.0, threads=1)
    with TestClient(create_app(settings), LOOPBACK, raise_server_exceptions=False) as client:
        check(client.get("/candles/BTC-USD", params={"timeframe": "1h"}), 503)
    assert PASSWORD not in caplog.text


def test_a_password_that_is_refused(
    tiny_bundle: Path, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    host = psycopg.conninfo.conninfo_to_dict(database_url)
    url = f"postgresql://nobody:{PASSWORD}@{host['host']}:{host['port']}/{host['dbname']}"
    settings = Settings(tiny_bundle, database_url=url, database_timeout_s=1.0, threads=1)
    with TestClient(create_app(settings), LOOPBACK, raise_server_exceptions=False) as client:
        check(client.get("/candles/BTC-USD", params={"timeframe": "1h"}), 503)
    assert PASSWORD not in caplog.text


def test_the_unforeseen(
    server: TestClient[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError(f"SELECT of {PASSWORD} in /tmp/place")

    monkeypatch.setattr(Forecasts, "answer", fail)
    body = {**ASKED, "candles": {**candles(), "close": [98765.4321] * 40}}
    for path in ("/predict", "/predict-batch"):
        asked = {**body, "symbols": ["A"], "candles": None} if path.endswith("batch") else body
        check(server.post(path, json=asked, headers={"X-Request-ID": "run-7"}), 500)
    assert "98765" not in caplog.text  # the traceback is in the log, what was asked is not
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"\xff\xfe", 422),
        (b'{"symbol": "/tmp/../etc/passwd\\u0000"}', 404),
        (b'{"symbol": "A"', 422),
        (b'"' + b"x" * 60_000, 413),
        (json.dumps({**ASKED, "candles": {**candles(), "open": ["DROP TABLE"] * 40}}).encode(), 422),
    ],
)
def test_bodies_that_cannot_be_used(
    server: TestClient[Any], content: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    response = server.post("/predict", content=content, headers=AS_JSON)
    assert response.status_code == status
    assert "Traceback" not in response.text
    assert KEY not in caplog.text
    assert not any(content[:40].decode("latin-1") in line.getMessage() for line in caplog.records if content)


def test_a_database_that_breaks_in_one_way_after_the_other(
    server: TestClient[Any], database: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    assert server.post("/predict", json=ASKED).status_code == 200
    with database.transaction():  # a migration that takes its time
        database.execute("LOCK TABLE ohlcv_1h")
        check(server.post("/predict", json=ASKED), 503)
    for breaking in (
        "ALTER TABLE ohlcv_1h DROP COLUMN close",
        "DROP TABLE ohlcv_1h CASCADE",
        "DROP TABLE ml_predictions CASCADE",
    ):
        database.execute(breaking)
        check(server.post("/predict", json=ASKED), 503)
    check(server.get("/predictions/BTC-USD", params={"timeframe": "1h"}), 503)
    assert server.post("/predict", json={**ASKED, "candles": candles()}).status_code == 200
    assert KEY not in caplog.text
