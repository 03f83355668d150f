"""The OpenAPI document and its page, which must not need a network."""

import re
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from inference_server.app import create_app
from inference_server.settings import Settings
from tests.helpers.serving import LOOPBACK


@pytest.fixture(scope="module")
def client() -> TestClient[Any]:
    """A client of an application that was not started, and so needs no bundle."""
    return TestClient(create_app(Settings(bundle=Path("none"))), base_url=LOOPBACK)


def test_the_page_loads_only_what_the_server_serves(client: TestClient[Any]) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    loaded = re.findall(r"(?:src|href)=['\"]([^'\"]+)", page.text)
    assert len(loaded) == 4
    for address in loaded:
        assert address.startswith("/docs-files/")
        assert client.get(address).status_code == 200
    assert "://" not in page.text.replace('"openapi":"3.1.0"', "")


def test_scripts_and_styles_fetch_nothing_by_themselves(client: TestClient[Any]) -> None:
    styles = client.get("/docs-files/swagger-ui.css").text
    assert not re.search(r"url\(['\"]?(?:https?:)?//", styles)
    assert "@import" not in styles


def test_the_document_describes_the_requests(client: TestClient[Any]) -> None:
    document = client.get("/docs/openapi.json").json()
    assert {"/predict", "/predict-batch", "/model", "/health/live", "/health/ready"} <= set(document["paths"])
    predict = document["paths"]["/predict"]["post"]
    assert predict["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/PredictRequest")
    refusals = {"400", "401", "404", "408", "413", "415", "421", "422", "429", "503", "504"}
    assert set(predict["responses"]) == {"200", *refusals}
    schema = document["components"]["schemas"]["PredictRequest"]
    assert schema["required"] == ["symbol"]
    assert (schema["properties"]["pred_len"]["default"], schema["properties"]["top_p"]["default"]) == (
        120,
        0.9,
    )
    batch = document["components"]["schemas"]["PredictBatchRequest"]["properties"]
    assert {"symbols", "events", "candles", "future_timestamps"} <= set(batch)


def test_the_document_describes_statistics_with_examples(client: TestClient[Any]) -> None:
    schemas = client.get("/docs/openapi.json").json()["components"]["schemas"]
    assert schemas["PredictRequest"]["required"] == ["symbol"]
    for field in ("quantiles", "probabilities"):
        for kind in ("PredictRequest", "PredictBatchRequest"):
            assert schemas[kind]["properties"][field]["examples"], (kind, field)
    assert "statistics" not in schemas["PredictAnswer"]["required"]
    assert set(schemas["Statistics"]["required"]) == {"paths", "calibrated", "last_close"}
    assert schemas["Probabilities"]["required"] == ["up"]
    nullable = schemas["RealisedVolatility"]["properties"]["values"]["items"]["items"]
    assert {one["type"] for one in nullable["oneOf"]} == {"number", "null"}


def test_the_document_describes_what_the_page_reads(client: TestClient[Any]) -> None:
    document = client.get("/docs/openapi.json").json()
    stored = ("", "/history", "/inputs", "/chart.png")
    described = {
        "/symbols",
        "/candles/{symbol}",
        "/calendar",
        *(f"/predictions/{{symbol}}{one}" for one in stored),
    }
    assert described <= set(document["paths"])
    assert not {"/", "/page-plotly.min.js"} & set(document["paths"])  # for browsers, not for callers
    row = document["components"]["schemas"]["StoredPrediction"]["properties"]
    assert {"as_of", "timestamps", "p10", "p50", "p90", "event_context", "updated_at"} <= set(row)
