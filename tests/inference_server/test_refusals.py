"""The application with a real bundle and no database: what is refused, and how a refusal reads."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from litestar.testing import TestClient

from inference_server.app import create_app
from inference_server.engine.engine import Engine
from inference_server.http.problems import TYPE_PREFIX
from inference_server.settings import Settings
from tests.helpers.inline_requests import ASKED, answer, encoded, without_database
from tests.helpers.serving import AS_JSON, LOOPBACK, candles

SMALL_LIMITS = {"max_body_bytes": 200_000, "max_answer_values": 5000}


@pytest.fixture(scope="module")
def server(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient[Any]]:
    with without_database(tiny_bundle, tmp_path_factory.mktemp("server"), **SMALL_LIMITS) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "fields", "values"),
    [
        ("/predict", {"sample_count": 256, "pred_len": 14, "return_samples": "full"}, 14 * 1545),
        (
            "/predict-batch",
            {"symbols": ["A", "B", "C"], "sample_count": 200, "return_samples": True},
            3 * 8 * 209,
        ),
    ],
)
def test_an_answer_that_would_be_too_large_is_refused_before_any_work(
    server: TestClient[Any], path: str, fields: dict[str, Any], values: int
) -> None:
    before = server.get("/metrics").text
    response = server.post(path, json={"pred_len": 8, "candles": None, **fields, "symbol": "BTC-USD"})
    problem = response.json()
    assert (response.status_code, problem["title"]) == (422, "Beyond a limit")
    assert (problem["given"], problem["expected"]) == (values, "at most 5000 (KRONOS_MAX_ANSWER_VALUES)")
    assert "Ask for fewer paths (sample_count)" in problem["detail"]
    assert server.get("/model").json()["limits"]["max_answer_values"] == 5000
    counted = [line for line in before.splitlines() if line.startswith("kronos_queue_seconds_count")]
    assert counted[0] in server.get("/metrics").text


def test_an_unknown_symbol_needs_its_future_timestamps(server: TestClient[Any]) -> None:
    future = ["2024-03-05T16:00Z", "2024-03-06T16:00Z", "2024-03-07T16:00Z", "2024-03-08T16:00Z"]
    made = answer(server, symbol="ACME", future_timestamps=future)
    assert made["timestamps"] == [f"{day}:00Z" for day in (moment[:-1] for moment in future)]
    refused = server.post("/predict", json={**ASKED, "symbol": "ACME"})
    assert refused.status_code == 422
    assert "send future_timestamps" in refused.json()["detail"]
    assert "did you mean" not in refused.json()["detail"]


def test_another_writing_of_a_symbol_is_named_and_not_taken(server: TestClient[Any]) -> None:
    inline = server.post("/predict", json={**ASKED, "symbol": "btc/usd"}).json()
    assert (inline["status"], inline["detail"].endswith("; did you mean BTC-USD or BTCUSDT?")) == (422, True)
    stored = server.post("/predict", json={"symbol": "eurusd"}).json()
    assert (stored["status"], stored["detail"].endswith("; did you mean EURUSD?")) == (404, True)
    batch = server.post("/predict-batch", json={"symbols": ["EUR/USD", "BTC/USDT:USDT"]}).json()["results"]
    assert [item["error"]["status"] for item in batch] == [404, 404]
    assert [item["error"]["detail"].rpartition("; ")[2] for item in batch] == [
        "did you mean EURUSD?",
        "did you mean BTCUSDT or BTC-USD?",
    ]


def test_hours_without_a_timeframe_are_no_days(server: TestClient[Any]) -> None:
    asked = {name: value for name, value in ASKED.items() if name != "timeframe"}
    refused = server.post("/predict", json=asked)
    assert refused.status_code == 422
    assert "did you mean timeframe 1h?" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("fields", "status", "name"),
    [
        ({"pred_len": "4.5"}, 422, "invalid-body"),
        ({"timeframe": "3h"}, 422, "invalid-body"),
        ({"pred_len": 513}, 422, "beyond-limit"),
        ({"sample_count": 10**6}, 422, "beyond-limit"),
        ({"lookback": 8}, 422, "beyond-limit"),
        ({"as_of": "yesterday"}, 422, "invalid-request"),
        ({"as_of": "2024-03-05T02:00"}, 422, "too-few-candles"),
        ({"candles": candles(31)}, 422, "too-few-candles"),
        ({"candles": {**candles(), "close": [1.0]}}, 422, "invalid-candles"),
        ({"candles": {**candles(), "close": [1e30] * 40}}, 422, "invalid-candles"),
        ({"events": [[0.0] * 20] * 41}, 422, "invalid-events"),
        ({"events": encoded(np.full((40, 20), np.nan))}, 422, "invalid-events"),
        ({"events": encoded(np.zeros((40, 20))), "event_schema": 2}, 422, "invalid-events"),
        ({"quantiles": "0.5"}, 422, "invalid-body"),
        ({"quantiles": [0.5, 1]}, 422, "invalid-request"),
        ({"quantiles": [i / 101 for i in range(1, 101)]}, 422, "beyond-limit"),
        ({"probabilities": {"touch": ["one"]}}, 422, "invalid-body"),
        ({"probabilities": {"close_above": [-0.02]}}, 422, "invalid-request"),
        ({"candles": None}, 503, "database-unavailable"),
        ({"candles": None, "symbol": "WAT"}, 404, "unknown-symbol"),
    ],
)
def test_refusals_are_problems(
    server: TestClient[Any], fields: dict[str, Any], status: int, name: str
) -> None:
    response = server.post("/predict", json={**ASKED, **fields})
    problem = response.json()
    assert (response.status_code, problem["type"]) == (status, TYPE_PREFIX + name)
    assert response.headers["content-type"] == "application/problem+json"
    assert (problem["status"], problem["instance"]) == (status, "/predict")
    assert problem["title"]
    assert problem["detail"]


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/nowhere", b"", 404),
        ("GET", "/predict", b"", 405),
        ("POST", "/predict", b"", 422),
        ("POST", "/predict", b"{", 422),
        ("POST", "/predict", b" " * 200_001, 413),
        ("POST", "/predict-batch", b'{"symbols": []}', 422),
    ],
)
def test_what_never_reaches_a_forecast_is_a_problem_too(
    server: TestClient[Any], method: str, path: str, content: bytes, status: int
) -> None:
    response = server.request(method, path, content=content, headers=AS_JSON)
    assert (response.status_code, response.json()["status"]) == (status, status)
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"].startswith(TYPE_PREFIX)


def test_one_bad_symbol_never_fails_the_others(server: TestClient[Any]) -> None:
    batch = {
        **{name: ASKED[name] for name in ("timeframe", "pred_len", "seed")},
        "symbols": ["BTC-USD", "SPY", "ACME", "ETH-USD", "WAT"],
        "candles": {"BTC-USD": candles(), "SPY": {"open": "x"}, "ACME": candles(), "ETH-USD": candles()},
        "events": {"BTC-USD": encoded(np.zeros((44, 20))), "ETH-USD": [[0.0]]},
        "probabilities": {"BTC-USD": {"touch": [1.0]}},
    }
    results = server.post("/predict-batch", json=batch).json()["results"]
    assert [item["symbol"] for item in results] == batch["symbols"]
    assert [item["error"] and item["error"]["status"] for item in results] == [None, 422, 422, 422, 404]
    assert [item["result"] is None for item in results] == [False, True, True, True, True]
    assert results[0]["result"]["events_used"]
    batch["probabilities"] |= {"SPY": {"touch": [-1.0]}, "WAT": {"touch": 1.0}}
    batch |= {"candles": {"BTC-USD": candles(), "SPY": candles(), "WAT": candles()}, "events": None}
    batch |= {"symbols": ["BTC-USD", "SPY", "WAT"]}
    results = server.post("/predict-batch", json=batch).json()["results"]
    assert [item["error"] and item["error"]["status"] for item in results] == [None, 422, 422]


def test_a_setting_that_all_share_fails_the_batch(server: TestClient[Any]) -> None:
    response = server.post("/predict-batch", json={"symbols": ["BTC-USD"], "pred_len": 10**9})
    assert (response.status_code, response.json()["type"]) == (422, TYPE_PREFIX + "beyond-limit")


def test_before_the_model_is_loaded_the_server_lives_and_is_not_ready(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRONOS_DATA_DIR", str(tmp_path / "no-database"))
    release = threading.Event()
    load = Engine.load
    monkeypatch.setattr(Engine, "load", lambda *a, **k: release.wait(60) and load(*a, **k))
    with TestClient(create_app(Settings(bundle=tiny_bundle)), base_url=LOOPBACK) as client:
        assert client.get("/health/live").json() == {"status": "live"}
        for response in (
            client.get("/health/ready"),
            client.get("/model"),
            client.post("/predict", json=ASKED),
        ):
            assert (response.status_code, response.json()["type"]) == (503, TYPE_PREFIX + "model-not-ready")
            assert response.headers["Retry-After"] == "2"
        release.set()


def test_an_unforeseen_error_tells_nothing_and_is_logged(
    server: TestClient[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("secret of /etc")

    monkeypatch.setattr(Engine, "encode", fail)
    response = server.post("/predict", json=ASKED)
    assert (response.status_code, response.json()["type"]) == (500, TYPE_PREFIX + "internal-error")
    assert "secret" not in response.text
    assert "secret of /etc" in caplog.text


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


ODD_FIELDS = st.dictionaries(
    st.sampled_from([*ASKED, "temperature", "top_k", "top_p", "sample_count", "lookback", "as_of", "events",
                     "context_stride", "return_samples", "future_timestamps", "event_schema", "repair"]),
    ANY_JSON | st.integers(1, 40) | st.floats(0.001, 1),
    max_size=3,
)  # fmt: skip


@examples(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    fields=ODD_FIELDS,
    column=st.sampled_from(list(candles())),
    values=st.lists(ANY_JSON, min_size=40, max_size=40),
)
def test_no_json_makes_the_server_fail(
    server: TestClient[Any], fields: dict[str, Any], column: str, values: list[Any]
) -> None:
    for one in (fields, {**fields, "candles": {**candles(), column: values}}):
        body = {**ASKED, "symbols": ["BTC-USD"], **one}
        for path in ("/predict", "/predict-batch"):
            response = server.post(path, content=json.dumps(body).encode(), headers=AS_JSON)
            assert response.status_code in (200, 404, 413, 422) or (
                response.json()["type"] == TYPE_PREFIX + "database-unavailable"
            ), response.text
