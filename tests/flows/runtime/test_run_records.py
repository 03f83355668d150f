"""Tests the record of a run: small flows on a real Prefect server, and the rows in a real Postgres."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import psycopg
import pytest
from prefect import State, flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.states import Completed, Failed
from prefect.types import DateTime
from psycopg.rows import dict_row

from flows.runtime.run_records import COMMAND_LINE, RECORDED, RunFigures, keep_figures, record_run

pytestmark = pytest.mark.usefixtures("prefect_server")

FIGURES = RunFigures({"stored": 2, "failed": 1}, without_events=1, succeeded={"SPY": True, "EURUSD": False})


@flow(name="a recorded flow", **RECORDED)
def recorded(outcome: str = "completed", timeframe: str = "1d", as_of: datetime | None = None) -> Any:
    """A flow that ends as its parameter says, before or after it knows its figures."""
    if outcome == "raised":
        raise RuntimeError("before any figure is known")
    keep_figures(FIGURES)
    if outcome == "partly failed":
        return Failed(name="PartiallyFailed", message="1 of 3 symbols failed")
    return Completed(name="CompletedWithoutEvents") if outcome == "without events" else None


def run(**parameters: Any) -> State[Any]:
    return cast("State[Any]", recorded(**parameters, return_state=True))


def rows(database: psycopg.Connection[Any], table: str) -> list[dict[str, Any]]:
    with database.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall()


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What the runs log; Prefect's loggers do not propagate to the root logger."""
    loggers = [logging.getLogger(name) for name in ("prefect", "prefect.flow_runs")]
    before = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.propagate = True
    yield caplog
    for logger, propagate in zip(loggers, before, strict=True):
        logger.propagate = propagate


@pytest.mark.parametrize(
    ("outcome", "state", "succeeded", "counts"),
    [
        ("completed", "Completed", True, {"stored": 2, "failed": 1}),
        ("without events", "CompletedWithoutEvents", True, {"stored": 2, "failed": 1}),
        ("partly failed", "PartiallyFailed", False, {"stored": 2, "failed": 1}),
        ("raised", "Failed", False, {}),
    ],
)
def test_the_end_of_a_run_is_recorded(
    database: psycopg.Connection[Any], outcome: str, state: str, succeeded: bool, counts: dict[str, int]
) -> None:
    before = datetime.now(UTC)
    run(outcome=outcome, timeframe="1h")
    (row,) = rows(database, "flow_runs")
    assert (row["deployment"], row["flow"], row["timeframe"]) == (COMMAND_LINE, "a recorded flow", "1h")
    assert (row["state"], row["counts"]) == (state, counts)
    assert before <= row["started_at"] <= row["ended_at"] <= datetime.now(UTC)
    assert row["succeeded_at"] == (row["ended_at"] if succeeded else None)
    assert row["without_events"] == (1 if counts else None)
    expected = {"SPY": True, "EURUSD": False} if counts else {}
    assert {each["symbol"]: each["with_events"] for each in rows(database, "symbol_runs")} == expected


def test_a_failed_run_keeps_the_time_of_the_last_success(database: psycopg.Connection[Any]) -> None:
    run()
    (first,) = rows(database, "flow_runs")
    symbols = rows(database, "symbol_runs")
    run(outcome="raised")
    (second,) = rows(database, "flow_runs")
    assert second["ended_at"] > first["ended_at"]
    assert (second["state"], second["counts"], second["without_events"]) == ("Failed", {}, None)
    assert second["succeeded_at"] == first["succeeded_at"]
    assert rows(database, "symbol_runs") == symbols


def test_each_timeframe_has_a_row_of_its_own(database: psycopg.Connection[Any]) -> None:
    for timeframe in ("1h", "1d", "1h"):
        run(timeframe=timeframe)
    assert [row["timeframe"] for row in rows(database, "flow_runs")] == ["1d", "1h"]
    assert len(rows(database, "symbol_runs")) == 4


def test_a_run_of_a_past_instant_is_not_recorded(database: psycopg.Connection[Any]) -> None:
    run(as_of=datetime(2024, 1, 1, tzinfo=UTC))
    assert rows(database, "flow_runs") == rows(database, "symbol_runs") == []


def test_a_database_that_takes_no_record_is_a_warning_and_no_failure(
    database: psycopg.Connection[Any], warnings: pytest.LogCaptureFixture
) -> None:
    database.execute("DROP TABLE flow_runs")
    assert run().is_completed()
    assert 'can\'t be recorded in the database: relation "flow_runs" does not exist' in warnings.text


def test_a_locked_table_ends_the_record_and_not_the_run(
    database: psycopg.Connection[Any],
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    warnings: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("flows.runtime.run_records.LONGEST_S", 1)
    with psycopg.connect(database_url) as other:
        other.execute("LOCK TABLE flow_runs")
        assert run().is_completed()
    assert "can't be recorded in the database: canceling statement due to statement timeout" in warnings.text
    assert rows(database, "flow_runs") == []


def test_a_run_of_a_deployment_has_the_deployments_name(database: psycopg.Connection[Any]) -> None:
    with get_client(sync_client=True) as client:
        flow_id = client.create_flow(recorded)
        deployment_id = client.create_deployment(flow_id, "predict-1h")
    state: State[Any] = Completed()
    started = state.timestamp - timedelta(minutes=3)
    flow_run = FlowRun(flow_id=flow_id, deployment_id=deployment_id)
    flow_run.start_time = DateTime.fromisoformat(started.isoformat())
    record_run(recorded, flow_run, state)
    (row,) = rows(database, "flow_runs")
    assert (row["deployment"], row["timeframe"]) == ("predict-1h", "1d")
    assert (row["started_at"], row["ended_at"]) == (started, state.timestamp)


def test_outside_of_a_run_figures_are_not_kept(database: psycopg.Connection[Any]) -> None:
    keep_figures(FIGURES)
    run(outcome="raised")
    (row,) = rows(database, "flow_runs")
    assert row["counts"] == {}
