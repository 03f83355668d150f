"""The application with a real bundle and no database: answers, statistics, events, batches."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from litestar.testing import TestClient

from inference_server.engine import native_operators
from market.warning_codes import code_of
from tests.helpers.inline_requests import ASKED, answer, encoded, without_database
from tests.helpers.serving import START, candles


@pytest.fixture(scope="module")
def server(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient[Any]]:
    with without_database(tiny_bundle, tmp_path_factory.mktemp("server")) as client:
        yield client


@pytest.fixture(scope="module")
def base_server(
    tiny_base_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient[Any]]:
    with without_database(tiny_base_bundle, tmp_path_factory.mktemp("base")) as client:
        yield client


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


def test_a_sliding_context_is_said(server: TestClient[Any]) -> None:
    (warning,) = answer(server, candles=candles(520), pred_len=2)["warnings"]
    assert "lookback of at most 510" in warning
    assert answer(server, candles=candles(520), pred_len=2, context_stride=32)["warnings"] == []


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


@pytest.mark.parametrize(
    "column", [[0.0] * 40, [1e17] * 40, [-1e17, 1e17] * 20, [1e-300] * 40, [5e-324, 1e17] * 20]
)
def test_extreme_candles_are_answered(server: TestClient[Any], column: list[float]) -> None:
    extreme = dict.fromkeys(("open", "high", "low", "close"), column)
    made = answer(server, candles={**candles(), **extreme, "volume": [0.0] * 40})
    assert np.isfinite(made["p50"]).all()
