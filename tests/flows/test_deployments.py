"""The deployments of prefect.yaml: what they run, when, and that they run from any checkout."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.flows import load_flow_from_entrypoint

ROOT = Path(__file__).resolve().parents[2]
CONTENT: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text())
DEPLOYMENTS = {deployment["name"]: deployment for deployment in CONTENT["deployments"]}


@pytest.mark.parametrize(
    ("name", "flow_name", "cron", "timeframe"),
    [
        ("predict-1h", "predict-batch", "5 * * * *", "1h"),
        ("predict-1d", "predict-batch", "45 5 * * *", "1d"),
        ("score-1h", "score-forecasts", "20 * * * *", "1h"),
        ("score-1d", "score-forecasts", "30 5 * * *", "1d"),
    ],
)
def test_runs_the_flow_on_its_schedule(name: str, flow_name: str, cron: str, timeframe: str) -> None:
    deployment = DEPLOYMENTS[name]
    assert deployment["schedules"] == [{"cron": cron, "timezone": "UTC"}]
    assert deployment["work_pool"] == {"name": "local"}
    flow: Flow[..., Any] = load_flow_from_entrypoint(str(ROOT / deployment["entrypoint"]))
    assert flow.name == flow_name
    assert deployment["parameters"] == {"timeframe": timeframe}
    assert flow.validate_parameters(deployment["parameters"])["timeframe"] == timeframe


@pytest.mark.parametrize(
    ("name", "schedules"), [("backfill", None), ("retention", [{"cron": "50 3 * * *", "timezone": "UTC"}])]
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
