"""The flow retention on a real Postgres and Prefect: what a run and a dry run do, and what they publish."""

import json
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from prefect.artifacts import Artifact

from flows.retention import forecast_timeframes, main, outdated_now, retention
from tests.helpers.forecasts_in_store import START, add_forecast, walk
from tests.helpers.stored import prediction_row, store_inputs

CLOSES = walk(60)
SAMPLES = [[1.0, 2.0, 3.0, 4.0], [2.0, 3.0, 4.0, 5.0]]
NOW = datetime(2024, 6, 1, tzinfo=UTC)


@pytest.fixture
def store(database: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Five scored forecasts of 2024 with samples and inputs."""
    for hour in range(5):
        add_forecast(database, CLOSES, hour, samples=SAMPLES)
        key = {"symbol": "BTC-USD", "timeframe": "1h", "model_name": "tiny"}
        store_inputs(database, prediction_row(**key, as_of=START + timedelta(hours=hour)), None)
    database.execute("UPDATE ml_predictions SET scored_at = now()")
    database.execute("UPDATE prediction_inputs SET stored_at = as_of")
    return database


def counts(database: psycopg.Connection[Any]) -> tuple[int, int, int]:
    query = "SELECT count(samples), (SELECT count(*) FROM prediction_inputs), count(*) FROM ml_predictions"
    ((samples, inputs, forecasts),) = database.execute(query).fetchall()
    return samples, inputs, forecasts


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ((30, 31, None), [("samples", 30), ("inputs", 31)]),
        ((None, None, None), []),
        ((None, None, 100), [("forecasts", 100)]),
    ],
)
def test_what_is_looked_for(days: tuple[int | None, ...], expected: list[tuple[str, int]]) -> None:
    found = [each for each in outdated_now(NOW, *days) if each.timeframe == "1h"]
    assert [(each.kind, (NOW - each.before).days) for each in found] == expected


@pytest.mark.usefixtures("prefect_server")
def test_a_dry_run_counts_and_a_run_deletes(store: psycopg.Connection[Any]) -> None:
    planned = retention(keep_forecasts_days=100, dry_run=True)
    assert counts(store) == (5, 5, 5)
    assert {row["what"]: row["would delete"] for row in planned if row["timeframe"] == "1h"} == {
        "samples": 5,
        "inputs": 4,
        "forecasts": 4,
    }
    assert retention(return_state=True).is_completed()
    assert counts(store) == (0, 1, 5)
    assert main(["--keep-forecasts-days", "100", "--keep-inputs-days", "all"]) == 0
    assert counts(store) == (0, 1, 1)
    artifact = Artifact.get("retention")
    assert artifact is not None
    assert not isinstance(artifact, Coroutine)
    assert artifact.description == "What was deleted."
    table = json.loads(str(artifact.data))
    assert [(row["what"], row["timeframe"], row["deleted"]) for row in table] == [
        ("samples", "1h", 0), ("forecasts", "1h", 4), ("samples", "1d", 0), ("forecasts", "1d", 0),
    ]  # fmt: skip


def test_only_timeframes_that_may_have_forecasts_are_looked_at(database: psycopg.Connection[Any]) -> None:
    assert forecast_timeframes.fn() == {"1h", "1d"}
    database.execute("INSERT INTO symbol_runs VALUES ('5m', 'BTC-USD', now(), false)")
    assert forecast_timeframes.fn() == {"1h", "1d", "5m"}


@pytest.mark.parametrize(
    "arguments", [["--keep-samples-days", "0"], ["--keep-inputs-days", "-3"], ["--keep-forecasts-days", "x"]]
)
def test_a_number_of_days_that_is_none_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert "is not a whole number above 0" in capsys.readouterr().err
