"""The real application with keys: which routes answer whom, and what a refusal carries."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.routes import HTTPRoute
from litestar.testing import TestClient

from inference_server.app import create_app
from inference_server.http.auth import OPEN
from inference_server.http.problems import TYPE_PREFIX
from inference_server.settings import Settings
from tests.helpers.serving import candles, ready_client

KEY, OTHER_KEY, OPERATOR = "first-key-of-many", "second-key-of-many", "key-of-the-operator"
ASKED = {"symbol": "BTC-USD", "timeframe": "1h", "pred_len": 2, "candles": candles()}


@pytest.fixture(scope="module")
def server(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient[Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KRONOS_DATA_DIR", str(tmp_path_factory.mktemp("access") / "no-database"))
        with ready_client(tiny_bundle, api_keys=(KEY, OTHER_KEY), admin_keys=(OPERATOR,)) as client:
            yield client


def bearer(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def test_only_health_the_documentation_and_the_empty_page_are_open() -> None:
    routes = create_app(Settings(Path("bundle"))).routes
    opened = {
        route.path
        for route in routes
        for handler in (route.route_handlers if isinstance(route, HTTPRoute) else [route.route_handler])
        if handler.opt.items() >= OPEN.items()
    }
    prefixes = {"/" + path.split("/")[1] for path in opened}
    assert prefixes <= {"/", "/health", "/docs", "/docs-files", "/page-files", "/page-plotly.min.js"}
    assert {"/health/live", "/health/ready", "/docs"} <= opened


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/docs", "/docs/openapi.json"])
def test_open_routes_answer_anybody(server: TestClient[Any], path: str) -> None:
    for key in (None, "wrong"):
        assert server.get(path, headers=bearer(key)).status_code == 200


@pytest.mark.parametrize("path", ["/predict", "/predict-batch", "/model", "/metrics", "/metrics/flows"])
def test_closed_routes_ask_for_a_key_before_they_look_at_anything_else(
    server: TestClient[Any], path: str
) -> None:
    method = "POST" if path.startswith("/predict") else "GET"
    for key in (None, "wrong"):
        refused = server.request(method, path, content=b"{" * 100_000, headers=bearer(key))
        assert (refused.status_code, refused.json()["type"]) == (401, TYPE_PREFIX + "unauthorised")
        assert refused.headers["WWW-Authenticate"] == "Bearer"
        assert refused.headers["X-Request-ID"]
    for key in (KEY, OTHER_KEY, OPERATOR):
        assert server.request(method, path, json=ASKED, headers=bearer(key)).status_code != 401


def test_a_key_gets_a_forecast_and_the_figures(server: TestClient[Any]) -> None:
    answer = server.post("/predict", json=ASKED, headers={**bearer(KEY), "X-Request-ID": "run-7"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Request-ID"] == "run-7"
    figures = server.get("/metrics", headers=bearer(KEY))
    assert figures.headers["content-type"].startswith("text/plain; version=")
    assert 'kronos_requests_total{outcome="200",route="/predict"}' in figures.text


def test_the_document_says_that_a_key_may_be_asked_for(server: TestClient[Any]) -> None:
    document = server.get("/docs/openapi.json").json()
    assert document["components"]["securitySchemes"]["key"] == {"type": "http", "scheme": "bearer"}
    assert {"key": []} in document["security"]
    assert "PredictRequest" in document["components"]["schemas"]
