"""The deployments of prefect.yaml: what they run, when, with which form, from any checkout."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

from flows.deployment.automations import HEARTBEAT_S, TAG
from flows.runtime.time_limits import DAILY_RUN_S, HOURLY_RUN_S, SHORT_RUN_S
from market.timeframes import CANDLE_DURATION, TIMEFRAMES

ROOT = Path(__file__).resolve().parents[2]
CONTENT: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text())
DEPLOYMENTS = {deployment["name"]: deployment for deployment in CONTENT["deployments"]}
LOAD_EACH = """
import os, sys
from prefect.flows import load_flow_from_entrypoint
for entrypoint in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        sys.exit(f"{entrypoint} is not found")
"""
every_deployment = pytest.mark.parametrize("name", DEPLOYMENTS)


def flow_of(name: str) -> Flow[..., Any]:
    return load_flow_from_entrypoint(str(ROOT / DEPLOYMENTS[name]["entrypoint"]))


@pytest.mark.parametrize(
    ("name", "flow_name", "cron", "timeframe", "timeout_s"),
    [
        ("predict-1h", "predict-batch", "5 * * * *", "1h", HOURLY_RUN_S),
        ("predict-1d", "predict-batch", "45 5 * * *", "1d", DAILY_RUN_S),
        ("score-1h", "score-forecasts", "20 * * * *", "1h", HOURLY_RUN_S),
        ("score-1d", "score-forecasts", "30 5 * * *", "1d", DAILY_RUN_S),
    ],
)
def test_runs_the_flow_on_its_schedule(
    name: str, flow_name: str, cron: str, timeframe: str, timeout_s: float
) -> None:
    deployment = DEPLOYMENTS[name]
    assert deployment["schedules"] == [{"cron": cron, "timezone": "UTC", "slug": "kronos"}]
    flow = flow_of(name)
    assert flow.name == flow_name
    assert flow.timeout_seconds == timeout_s
    assert deployment["parameters"] == {"timeframe": timeframe}


@pytest.mark.parametrize("timeframe", SHORT_RUN_S)
def test_a_run_of_short_candles_ends_before_the_next_ones_have_closed(timeframe: str) -> None:
    entrypoint = str(ROOT / f"flows/predict.py:predict_{timeframe}")
    flow: Flow[..., Any] = load_flow_from_entrypoint(entrypoint)
    assert flow.name == "predict-batch"
    assert flow.timeout_seconds == SHORT_RUN_S[timeframe] < CANDLE_DURATION[timeframe].total_seconds()


@every_deployment
def test_every_deployment_is_watched_and_runs_one_at_a_time(name: str) -> None:
    deployment = DEPLOYMENTS[name]
    assert TAG in deployment["tags"]
    assert [schedule["slug"] for schedule in deployment.get("schedules", [])] in ([], ["kronos"])
    assert len(deployment["description"]) > 40
    assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}
    assert deployment["work_pool"] == {
        "name": "local",
        "job_variables": {"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S)}},
    }
    assert flow_of(name).timeout_seconds is not None


@pytest.mark.parametrize("name", ["predict-1h", "predict-1d", "score-1h", "score-1d"])
def test_every_parameter_has_a_text_in_the_form(name: str) -> None:
    properties = parameter_schema(flow_of(name)).properties
    assert [key for key, value in properties.items() if not value.get("description")] == []
    assert set(DEPLOYMENTS[name].get("parameters", {})) <= set(properties)


def test_the_form_of_a_forecast_has_limits() -> None:
    properties = parameter_schema(flow_of("predict-1h")).properties
    limits = {
        key: {bound: value[bound] for bound in ("minimum", "maximum", "enum") if bound in value}
        for key, value in properties.items()
    }
    assert limits["timeframe"] == {"enum": list(TIMEFRAMES)}
    assert limits["pred_len"] == {"minimum": 1, "maximum": 2048}
    assert limits["sample_count"] == {"minimum": 1, "maximum": 10_000}
    assert properties["stale_after"]["anyOf"][0]["minimum"] == 0


def test_a_process_of_its_own_finds_the_flow() -> None:
    """As a worker loads it: nothing of this repository is imported before, and no flow stands in for it."""
    environment = {**os.environ, "PYTHONPATH": ""}
    entrypoints = {each["entrypoint"] for each in DEPLOYMENTS.values()}
    command = [sys.executable, "-c", LOAD_EACH, *sorted(entrypoints)]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("name", "schedules"),
    [("backfill", None), ("retention", [{"cron": "50 3 * * *", "timezone": "UTC", "slug": "kronos"}])],
)
def test_a_second_run_is_cancelled(name: str, schedules: list[dict[str, str]] | None) -> None:
    deployment = DEPLOYMENTS[name]
    assert deployment.get("schedules") == schedules
    assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}
    flow: Flow[..., Any] = load_flow_from_entrypoint(str(ROOT / deployment["entrypoint"]))
    assert flow.name == name
    assert flow.timeout_seconds is not None
    required = {"start": "2024-01-01T00:00:00Z"} if name == "backfill" else {}
    assert flow.validate_parameters(required)


def test_names_no_folder_of_whoever_deploys() -> None:
    (step,) = CONTENT["pull"]
    assert step == {"prefect.deployments.steps.set_working_directory": {"directory": "{{ $PROJECT_ROOT }}"}}
