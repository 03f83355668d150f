"""A server without keys answers to this machine's own names, and reads JSON that is sent as JSON."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from tests.helpers.serving import candles, ready_client

KEY = "key-of-a-caller-of-ours"
BODY: dict[str, Any] = {"symbol": "BTC-USD", "timeframe": "1h", "pred_len": 2, "candles": candles()}


@pytest.fixture(scope="module")
def server(tiny_bundle: Path) -> Iterator[TestClient[Any]]:
    with ready_client(tiny_bundle, allowed_hosts=("models.example",)) as client:
        yield client


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8200", 200),
        ("127.0.0.1", 200),
        ("localhost:9999", 200),
        ("LOCALHOST", 200),
        ("[::1]:8200", 200),
        ("models.example", 200),  # allowed
        ("models.example:443", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example:8200", 421),
        ("10.0.0.5:8200", 421),
    ],
)
def test_only_names_of_this_machine_and_allowed_ones_are_answered(
    server: TestClient[Any], host: str, status: int
) -> None:
    headers = {"Host": host}
    for answer in (
        server.get("/model", headers=headers),
        server.get("/health/live", headers=headers),
        server.post("/predict", json=BODY, headers=headers),
        server.get("/page-files/page.js", headers=headers),
    ):
        assert answer.status_code == status


def test_with_keys_any_name_will_do(tiny_bundle: Path) -> None:
    with ready_client(tiny_bundle, api_keys=(KEY,)) as client:
        headers = {"Host": "models.example", "Authorization": f"Bearer {KEY}"}
        assert client.get("/model", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("application/vnd.api+json", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("text/plain; application/json", 415),
        (None, 415),
    ],
)
def test_only_json_is_read_as_json(server: TestClient[Any], content_type: str | None, status: int) -> None:
    """What a form on any page may send, the server does not read."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    for path, sent in (
        ("/predict", BODY),
        ("/predict-batch", {**BODY, "symbols": ["BTC-USD"], "candles": None}),
    ):
        answer = server.post(path, content=json.dumps(sent).encode(), headers=headers)
        assert answer.status_code == status
        if status == 415:
            problem = answer.json()
            assert problem["expected"] == "Content-Type: application/json"
            assert problem["given"] == (content_type or "")


def test_a_packed_body_is_answered_as_the_plain_one(server: TestClient[Any]) -> None:
    raw = json.dumps({**BODY, "seed": 1}).encode()
    headers = {"Content-Type": "application/json"}
    plain = server.post("/predict", content=raw, headers=headers).json()
    packed = {**headers, "Content-Encoding": "gzip"}
    answer = server.post("/predict", content=gzip.compress(raw), headers=packed)
    assert answer.json() == plain
    bomb = server.post("/predict", content=gzip.compress(bytes(40 << 20)), headers=packed)
    assert bomb.status_code == 413
    other = server.post("/predict", content=raw, headers={**headers, "Content-Encoding": "br"})
    assert other.status_code == 415
