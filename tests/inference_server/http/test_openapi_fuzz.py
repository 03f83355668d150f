"""Requests made from the OpenAPI document, valid ones and broken ones, against the real application."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy
from litestar.testing import TestClient
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from sql.connect import connect
from sql.migrate import migrate
from tests.helpers.databases import in_database
from tests.helpers.serving import candles, ready_client
from tests.inference_server.forecast.test_candle_store import insert

EXAMPLES = 10
CONFORMANCE = [status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def server(tiny_bundle: Path, postgres_url: str) -> Iterator[TestClient[Any]]:
    """The application with a database, so that it has no reason to answer 503."""
    with connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE fuzzed")
    url = in_database(postgres_url, "fuzzed")
    with connect(url, autocommit=True) as connection:
        migrate(connection)
        insert(connection, "0", candles(50))  # the symbol that is tried first
        connection.execute("INSERT INTO ohlcv_1d SELECT * FROM ohlcv_1h")
        connection.execute(
            "INSERT INTO instruments (symbol, asset_class, calendar) VALUES ('0', 'crypto', '24/7')"
        )
    with ready_client(tiny_bundle, database_url=url, max_sample_count=4) as client:
        yield client


def test_every_answer_is_one_that_the_document_names(server: TestClient[Any]) -> None:
    document = schemathesis.openapi.from_dict(server.get("/docs/openapi.json").json())
    answered: Counter[str] = Counter()
    labels: set[str] = set()
    for found in document.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        for mode in GenerationMode:
            # What has no parameters can't be asked wrongly.
            with contextlib.suppress(Unsatisfiable):
                _ask(server, operation.as_strategy(generation_mode=mode), answered)
        labels.add(operation.label)
    assert set(answered) == labels


def _ask(
    server: TestClient[Any], cases: SearchStrategy[schemathesis.Case[Any]], answered: Counter[str]
) -> None:
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(case=cases)
    def ask(case: schemathesis.Case[Any]) -> None:
        sent = case.as_transport_kwargs()
        sent.pop("cookies")
        response = server.request(**sent)
        assert response.status_code < 500
        case.validate_response(response, checks=CONFORMANCE)
        answered[case.operation.label] += 1

    ask()
