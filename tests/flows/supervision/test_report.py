"""The tables of `kronos status`, and what counts as wrong."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flows.supervision.health import Health, ProgramHealth, problems
from flows.supervision.prefect_api import DeploymentState
from flows.supervision.programs import Program
from flows.supervision.report import report
from flows.supervision.supervisor import ProcessState

NOW = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
LOG = Path("/up/logs/server.log")


def program(state: str | None = "RUNNING", ready: bool | None = True) -> ProgramHealth:
    process = None if state is None else ProcessState("server", state, NOW - timedelta(minutes=5), 77)
    return ProgramHealth(Program("server", ("python",), 1, "http://127.0.0.1:8200/"), process, ready, LOG)


def deployment(**changes: Any) -> DeploymentState:
    values: dict[str, Any] = {
        "name": "predict-batch/predict-1h",
        "last_state": "Completed",
        "last_failed": False,
        "last_at": NOW - timedelta(hours=3),
        "next_at": NOW + timedelta(seconds=59),
        "paused": False,
        "overdue": 0,
    }
    return DeploymentState(**(values | changes))


@pytest.mark.parametrize(
    ("found", "deployments", "sentences"),
    [
        ([program()], [deployment()], []),
        ([program(ready=None)], [], []),
        ([program("STARTING", ready=False)], None, [f"server runs and is not ready: see {LOG}"]),
        ([program("BACKOFF", ready=False)], [], [f"server is backoff: see {LOG}"]),
        ([program(None, ready=False)], [], [f"server is not running: see {LOG}"]),
        (
            [],
            [deployment(last_state="PartiallyFailed", last_failed=True)],
            ["the last run of predict-batch/predict-1h ended as PartiallyFailed: see the Prefect UI"],
        ),
        (
            [],
            [deployment(overdue=2)],
            ["2 runs of predict-batch/predict-1h are due and have not begun: does the worker run?"],
        ),
        ([], [deployment(paused=True)], ["the schedule of predict-batch/predict-1h is paused"]),
    ],
)
def test_what_is_wrong_is_a_sentence_with_what_to_look_at(
    found: list[ProgramHealth], deployments: list[DeploymentState] | None, sentences: list[str]
) -> None:
    assert problems(found, deployments) == sentences


def shown(health: Health) -> str:
    console = Console(width=200, highlight=False)
    with console.capture() as capture:
        for part in report(health, NOW):
            console.print(part, markup=False)
    return capture.get()


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (program(), "server ready 5 min 77 http://127.0.0.1:8200/"),
        (program(ready=False), "server not ready 5 min 77"),
        (program(ready=None), "server running 5 min"),
        (program("BACKOFF"), "server backoff"),
        (program(None), "server not running http"),
    ],
)
def test_programs_have_state_age_address_and_log(item: ProgramHealth, words: str) -> None:
    assert words in " ".join(shown(Health([item], LOG.parent, [], [])).split())


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (deployment(), "predict-batch/predict-1h Completed 3 h 2026-03-04 05:06 59 s"),
        (deployment(last_state=None, last_at=None), "predict-batch/predict-1h none yet 2026"),
        (deployment(next_at=None), "Completed 3 h no schedule"),
        (deployment(paused=True), "Completed 3 h paused"),
        (deployment(last_at=NOW - timedelta(days=9)), "Completed 9 d"),
    ],
)
def test_deployments_have_their_last_and_next_run(state: DeploymentState, words: str) -> None:
    assert words in " ".join(shown(Health([], LOG.parent, [state], [])).split())


def test_the_last_line_says_whether_all_is_well() -> None:
    assert shown(Health([program()], LOG.parent, [deployment()], [])).rstrip().endswith("Everything runs.")
    wrong = shown(Health([program()], LOG.parent, None, ["the disk is full"]))
    assert wrong.rstrip().endswith("PROBLEM: the disk is full")
    assert "The Prefect server does not answer" in wrong
