"""How the limits of requests, statements, runs and schedules fit each other."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect import Flow
from prefect.flows import load_flow_from_entrypoint
from prefect.server.schemas.schedules import CronSchedule

from flows.predict import predict_batch, predict_hourly
from flows.runtime import time_limits
from flows.runtime.retries import STATEMENT_TRIES
from flows.runtime.settings import RETRY_DELAYS_S, FlowSettings
from flows.runtime.time_limits import (
    CLOSING_S,
    HOURLY_RUN_S,
    MODEL_S,
    SUMMARY_S,
    OutOfTime,
    request_limit_s,
    statement_limit_s,
    time_of_run,
    waiting_limit_s,
    within_run_of_another_process,
)
from flows.score import score, score_hourly
from inference_server.client import DEADLINE_SHARE
from inference_server.settings import Settings
from sql.connect import connection_settings
from tests.flows.test_deployments import DEPLOYMENTS, ROOT

DEFAULTS = FlowSettings()
WAITS_S = sum(RETRY_DELAYS_S)
TRIES = len(RETRY_DELAYS_S) + 1


def begun(monkeypatch: pytest.MonkeyPatch, run_s: float | None, ago_s: float) -> None:
    """Let a run have begun some seconds ago."""
    context = SimpleNamespace(
        flow=SimpleNamespace(timeout_seconds=run_s), start_time=datetime.now(UTC) - timedelta(seconds=ago_s)
    )
    monkeypatch.setattr(time_limits, "FlowRunContext", SimpleNamespace(get=lambda: context))


def test_the_servers_answer_comes_before_the_client_hangs_up() -> None:
    assert DEADLINE_SHARE < 1
    server = Settings(Path())
    deadline_s = DEADLINE_SHARE * DEFAULTS.timeout_s
    assert deadline_s < DEFAULTS.timeout_s < server.request_timeout_s
    # The deadline counts once the body is there and the candles are read.
    assert server.body_timeout_s + server.database_timeout_s < DEFAULTS.timeout_s - deadline_s


@pytest.mark.parametrize(
    "flow", [predict_batch, predict_hourly, score, score_hourly], ids=["1d", "1h", "score-1d", "score-1h"]
)
def test_every_try_of_a_task_fits_in_the_run(flow: Any) -> None:
    for_requests_s = flow.timeout_seconds - CLOSING_S
    connect_s = connection_settings("postgresql://h/db")["connect_timeout"]
    assert TRIES * DEFAULTS.timeout_s + WAITS_S < for_requests_s
    assert for_requests_s > TRIES * MODEL_S + WAITS_S
    assert TRIES * connect_s + WAITS_S < CLOSING_S
    # The four reads before the first request, should each meet a lock of its own.
    stuck_s = STATEMENT_TRIES * DEFAULTS.statement_timeout_s + RETRY_DELAYS_S[0]
    assert 4 * stuck_s + DEFAULTS.timeout_s < for_requests_s
    assert stuck_s < CLOSING_S - SUMMARY_S < CLOSING_S


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_run_of_a_deployment_ends_before_its_next_one(name: str) -> None:
    deployment = DEPLOYMENTS[name]
    flow: Flow[..., Any] = load_flow_from_entrypoint(str(ROOT / deployment["entrypoint"]))
    assert flow.timeout_seconds is not None
    for schedule in deployment.get("schedules", []):
        cron = CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])
        dates = cron.get_dates(n=3, start=datetime(2026, 1, 1, tzinfo=UTC))
        first, second, third = asyncio.run(dates)
        assert flow.timeout_seconds < min(second - first, third - second).total_seconds()


LIMITS: list[Callable[[], float]] = [request_limit_s, statement_limit_s]


@pytest.mark.parametrize(
    ("run_s", "ago_s", "request_s", "statement_s"),
    [
        (HOURLY_RUN_S, 0.0, 600.0, 120.0),
        (HOURLY_RUN_S, 2840.0, 100.0, 120.0),
        (None, 99999.0, 600.0, 120.0),
        (110.0, 0.0, 98.0, 108.0),  # a trial's short run keeps the same part of its time
    ],
)
def test_what_is_begun_ends_within_the_run(
    monkeypatch: pytest.MonkeyPatch, run_s: float | None, ago_s: float, request_s: float, statement_s: float
) -> None:
    begun(monkeypatch, run_s, ago_s)
    assert request_limit_s() == pytest.approx(request_s, abs=1)
    assert statement_limit_s() == pytest.approx(statement_s, abs=1)
    assert request_limit_s(50.0) == pytest.approx(50.0, abs=1)


@pytest.mark.parametrize(
    ("limit", "kept_s"),
    [
        *zip(LIMITS, (CLOSING_S, SUMMARY_S), strict=True),
        (lambda: waiting_limit_s(HOURLY_RUN_S), CLOSING_S + DEFAULTS.timeout_s),
    ],
    ids=["request", "statement", "wait"],
)
def test_nothing_is_begun_that_would_outlast_the_run(
    monkeypatch: pytest.MonkeyPatch, limit: Callable[[], float], kept_s: float
) -> None:
    begun(monkeypatch, HOURLY_RUN_S, HOURLY_RUN_S - kept_s - 5)
    assert 0 < limit() <= 5
    begun(monkeypatch, HOURLY_RUN_S, HOURLY_RUN_S - kept_s + 1)
    with pytest.raises(OutOfTime, match=r"3,300 s in which it has to end.* the next run"):
        limit()


def test_a_part_in_another_process_keeps_to_the_time_of_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """There Prefect's own context says that the run began when the part did."""
    began_ago = HOURLY_RUN_S - CLOSING_S - 100
    begun(monkeypatch, HOURLY_RUN_S, began_ago)
    given = time_of_run()
    assert given is not None
    begun(monkeypatch, HOURLY_RUN_S, 0.0)
    with within_run_of_another_process(given):
        assert time_of_run() == given
        assert request_limit_s() == pytest.approx(100.0, abs=1)
    assert request_limit_s() == 600.0


def test_outside_a_run_the_settings_alone_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRONOS_TIMEOUT_S", "7200")
    assert request_limit_s() == 7200.0
    assert statement_limit_s() == DEFAULTS.statement_timeout_s
