"""The application with a real bundle and no database: answers, refusals, events, batches."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from litestar.testing import TestClient

from inference_server.app import create_app
from inference_server.engine import native_operators
from inference_server.engine.engine import Engine
from inference_server.http.problems import TYPE_PREFIX
from inference_server.settings import Settings
from market.warning_codes import code_of
from tests.helpers.serving import AS_JSON, LOOPBACK, START, candles, ready_client

ASKED: dict[str, Any] = {
    "symbol": "BTC-USD",
    "timeframe": "1h",
    "pred_len": 4,
    "candles": candles(),
    "seed": 1,
    "sample_count": 9,
    "top_p": 1.0,
}

SMALL_LIMITS = {"max_body_bytes": 200_000, "max_answer_values": 5000}


@contextmanager
def without_database(bundle: Path, folder: Path, **settings: Any) -> Iterator[TestClient[Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KRONOS_DATA_DIR", str(folder / "no-database"))
        with ready_client(bundle, **settings) as client:
            yield client


@pytest.fixture(scope="module")
def server(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient[Any]]:
    with without_database(tiny_bundle, tmp_path_factory.mktemp("server"), **SMALL_LIMITS) as client:
        yield client


@pytest.fixture(scope="module")
def base_server(
    tiny_base_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient[Any]]:
    with without_database(tiny_base_bundle, tmp_path_factory.mktemp("base")) as client:
        yield client


def answer(client: TestClient[Any], path: str = "/predict", **fields: Any) -> dict[str, Any]:
    response = client.post(path, json={**ASKED, **fields})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def encoded(events: np.ndarray) -> dict[str, Any]:
    data = base64.b64encode(events.astype("<f4").tobytes()).decode()
    return {"shape": list(events.shape), "data": data}


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


def test_an_inline_request_is_answered_in_full(server: TestClient[Any]) -> None:
    made = answer(server, sample_count=10, return_samples=True)
    assert (made["symbol"], made["timeframe"], made["as_of"]) == ("BTC-USD", "1h", "2024-03-05T15:00:00Z")
    assert made["timestamps"] == [f"2024-03-05T{hour}:00:00Z" for hour in (16, 17, 18, 19)]
    assert (made["seed"], made["sample_count"], made["lookback_used"]) == (1, 10, 40)
    assert (made["events_used"], made["warnings"]) == (False, [])
    assert np.shape(made["samples"]) == (10, 4)
    assert set(made["mean"]) == {"open", "high", "low", "close", "volume", "amount"}
    for level in (made["p10"], made["p50"], made["p90"], *made["mean"].values()):
        assert len(level) == 4
    np.testing.assert_allclose(made["mean"]["close"], np.mean(made["samples"], axis=0))
    info = server.get("/model").json()
    assert made["model"] == {"name": info["name"], "version": info["version"]}


def test_a_seed_gives_the_same_result_alone_or_in_a_batch(server: TestClient[Any]) -> None:
    alone = answer(server, sample_count=2)
    assert answer(server, sample_count=2) == alone
    other = {
        "candles": {"BTC-USD": ASKED["candles"], "ETH-USD": candles(64)},
        "symbols": ["ETH-USD", "BTC-USD"],
    }
    batch = server.post("/predict-batch", json={**ASKED, **other, "sample_count": 2}).json()
    assert batch["warnings"] == ["fields-ignored: unknown fields were ignored: symbol"]
    assert [item["symbol"] for item in batch["results"]] == ["ETH-USD", "BTC-USD"]
    assert batch["results"][1] == {"symbol": "BTC-USD", "result": alone, "error": None}


def test_without_a_seed_one_is_drawn_and_returned(server: TestClient[Any]) -> None:
    first, second = answer(server, seed=None), answer(server, seed=None)
    assert first["seed"] != second["seed"]
    assert answer(server, seed=first["seed"]) == first


def test_full_samples_and_repair(server: TestClient[Any]) -> None:
    made = answer(server, sample_count=2, return_samples="full", repair=True)
    opens, highs, lows, closes, volume, amount = np.moveaxis(np.array(made["samples"]), 2, 0)
    assert (highs >= np.maximum(opens, closes)).all()
    assert (lows <= np.minimum(opens, closes)).all()
    assert (volume >= 0).all()
    assert (amount >= 0).all()


def test_statistics_come_where_they_are_asked_for_and_change_nothing_else(server: TestClient[Any]) -> None:
    last = ASKED["candles"]["close"][-1]
    prices = {"close_above": [last + 2, last - 2], "touch": [last + 5, last - 5]}
    fields: dict[str, Any] = {"quantiles": [0.25, 0.75], "probabilities": prices, "realised_volatility": True}
    plain = answer(server, return_samples="full")
    made = answer(server, return_samples="full", **fields)
    statistics = made.pop("statistics")
    assert made == plain
    assert (statistics["paths"], statistics["calibrated"], statistics["last_close"]) == (9, False, last)
    closes = np.array(plain["samples"])[:, :, 3]
    probabilities = statistics["probabilities"]
    assert probabilities["up"] == (closes > last).mean(axis=0).tolist()
    assert [one["price"] for one in probabilities["close_above"]] == prices["close_above"]
    assert probabilities["close_above"][0]["probability"] == (closes > last + 2).mean(axis=0).tolist()
    assert np.shape(statistics["quantiles"]["high"]) == (2, 4)
    assert np.shape(statistics["realised_volatility"]["values"]) == (2, 4)

    other = {"symbols": ["BTC-USD", "ETH-USD"], "candles": {"BTC-USD": candles(), "ETH-USD": candles(64)}}
    asked = {**ASKED, **fields, **other, "probabilities": {"BTC-USD": prices, "WAT": {}}}
    batch = server.post("/predict-batch", json=asked).json()
    assert [code_of(text) for text in batch["warnings"]] == ["fields-ignored", "symbols-ignored"]
    first, second = (item["result"]["statistics"] for item in batch["results"])
    assert first == statistics
    assert "probabilities" not in second
    assert second["quantiles"]["levels"] == [0.25, 0.75]


def test_kept_paths_answer_other_statistics(tiny_bundle: Path, tmp_path: Path) -> None:
    with without_database(tiny_bundle, tmp_path, result_cache_bytes=2**20) as client:
        plain = answer(client, return_samples=True)
        response = client.post("/predict", json={**ASKED, "return_samples": True, "quantiles": [0.25]})
        assert response.headers["X-Batch-Size"] == "0"  # no step of the model was run
        made = response.json()
        assert made.pop("statistics")["quantiles"]["levels"] == [0.25]
        assert made == plain


def test_events_change_the_forecast_and_travel_in_two_ways(server: TestClient[Any]) -> None:
    events = np.random.default_rng(0).normal(size=(44, 20)).astype(np.float32)
    plain = answer(server)
    listed = answer(server, events=events.tolist(), event_schema=1)
    assert listed["events_used"]
    assert listed["mean"] != plain["mean"]
    assert answer(server, events=encoded(events)) == listed
    assert answer(server, events=encoded(events[:40]))["events_used"]


def test_a_bundle_without_an_event_encoder_says_that_it_did_without(base_server: TestClient[Any]) -> None:
    made = answer(base_server, events=encoded(np.zeros((40, 20))), event_schema=9)
    assert not made["events_used"]
    assert made["warnings"] == [
        "events-not-used: this bundle has no EventEncoder: the forecast was made without the events"
    ]
    assert {**made, "warnings": []} == answer(base_server)


def test_without_events_both_bundles_agree_to_the_bit(
    server: TestClient[Any], base_server: TestClient[Any]
) -> None:
    with_encoder, base = answer(server, sample_count=3), answer(base_server, sample_count=3)
    assert {**with_encoder, "model": None} == {**base, "model": None}


def test_candles_not_closed_by_as_of_are_left_out(server: TestClient[Any]) -> None:
    made = answer(server, as_of="2024-03-05T14:30:00Z")
    assert (made["as_of"], made["lookback_used"]) == ("2024-03-05T13:00:00Z", 38)
    assert made["warnings"] == [
        "candles-not-closed: 2 of the candles given had not closed by as_of and were left out"
    ]


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


@pytest.mark.parametrize("path", ["/predict", "/predict-batch"])
def test_what_is_odd_about_candles_is_said_and_an_unknown_volume_taken(
    server: TestClient[Any], path: str
) -> None:
    odd = candles()
    odd["volume"][3], odd["high"][5] = None, -1.0
    fields: dict[str, Any] = {"candles": odd}
    if path == "/predict-batch":
        fields = {"symbols": ["BTC-USD"], "candles": {"BTC-USD": odd}}
    made = answer(server, path, **fields)
    made = made["results"][0]["result"] if path == "/predict-batch" else made
    assert [code_of(text) for text in made["warnings"]] == [
        "nonpositive-prices",
        "impossible-candles",
        "volume-unknown",
    ]
    del odd["volume"]
    assert answer(server, candles=odd)["p50"] == made["p50"]
    spread = answer(server, candles={**candles(), "low": [-1.0] * 40}, allow_nonpositive=True)
    assert spread["warnings"] == []


def quarters(count: int) -> list[str]:
    return [f"{START + row * np.timedelta64(15, 'm')}Z" for row in range(count)]


def test_quarters_of_an_hour_are_refused_or_taken_with_the_callers_future(server: TestClient[Any]) -> None:
    odd = {**candles(), "timestamp": quarters(40)}
    refused = server.post("/predict", json={**ASKED, "candles": odd})
    assert refused.status_code == 422
    assert "are 15 minutes apart, timeframe is 1h" in refused.json()["detail"]
    assert refused.json()["given"] == "15 minutes"
    made = answer(server, candles=odd, future_timestamps=quarters(44)[40:])
    assert [code_of(text) for text in made["warnings"]] == ["timeframe-not-used"]
    assert made["timestamps"][-1] == "2024-03-04T10:45:00Z"
    assert made["lookback_used"] == 40


def test_hours_without_a_timeframe_are_no_days(server: TestClient[Any]) -> None:
    asked = {name: value for name, value in ASKED.items() if name != "timeframe"}
    refused = server.post("/predict", json=asked)
    assert refused.status_code == 422
    assert "did you mean timeframe 1h?" in refused.json()["detail"]


def test_a_sliding_context_is_said(server: TestClient[Any]) -> None:
    (warning,) = answer(server, candles=candles(520), pred_len=2)["warnings"]
    assert "lookback of at most 510" in warning
    assert answer(server, candles=candles(520), pred_len=2, context_stride=32)["warnings"] == []


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


def test_the_model_tells_what_a_caller_must_know(
    server: TestClient[Any], base_server: TestClient[Any]
) -> None:
    info = server.get("/model").json()
    assert (info["max_context"], info["event_schema"], info["event_alignment"]) == (512, 1, "next")
    assert len(info["event_channels"]) == 20
    assert info["limits"]["min_candles"] == 32
    assert info["manifest"]["files"]
    assert info["device"]["compiled_operators"] == native_operators.instruction_set()
    assert (info["has_events"], base_server.get("/model").json()["has_events"]) == (True, False)


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


@pytest.mark.parametrize(
    "column", [[0.0] * 40, [1e17] * 40, [-1e17, 1e17] * 20, [1e-300] * 40, [5e-324, 1e17] * 20]
)
def test_extreme_candles_are_answered(server: TestClient[Any], column: list[float]) -> None:
    extreme = dict.fromkeys(("open", "high", "low", "close"), column)
    made = answer(server, candles={**candles(), **extreme, "volume": [0.0] * 40})
    assert np.isfinite(made["p50"]).all()
