"""The progress of a run in the Prefect UI."""

from collections.abc import Coroutine
from typing import Any

import pytest
from prefect import flow
from prefect.artifacts import Artifact

from flows.forecasting import progress
from flows.forecasting.progress import RunProgress


def shown(key: str) -> tuple[float, str]:
    """Per cent and description of the newest artifact of a key."""
    found = Artifact.get(key)
    assert found is not None
    assert not isinstance(found, Coroutine)
    return float(str(found.data)), str(found.description)


def test_it_begins_at_nothing_and_ends_at_everything(
    prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PAUSE_S", 3600.0)
    seen = []

    @flow
    def run() -> None:
        counter = RunProgress("progress-of-a-test", 4)
        for _ in range(4):
            seen.append(shown("progress-of-a-test"))
            counter.advance(1)
        seen.append(shown("progress-of-a-test"))

    run()
    nothing = (0.0, "0 of 4 symbols")
    assert seen == [nothing] * 4 + [(100.0, "4 of 4 symbols")]


def test_without_pauses_every_step_is_shown(prefect_server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PAUSE_S", 0.0)

    @flow
    def run() -> tuple[float, str]:
        counter = RunProgress("progress-of-steps", 4)
        counter.advance(3)
        counter.advance(0)
        return shown("progress-of-steps")

    assert run() == (75.0, "3 of 4 symbols")


@pytest.mark.parametrize("broken", ["create_progress_artifact", "update_progress_artifact"])
def test_a_run_goes_on_where_prefect_does_not_take_its_progress(
    prefect_server: None, monkeypatch: pytest.MonkeyPatch, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError("the Prefect server restarts")

    monkeypatch.setattr(progress, broken, refuse)
    monkeypatch.setattr(progress, "PAUSE_S", 0.0)

    @flow
    def run() -> str:
        counter = RunProgress("progress-refused", 2)
        counter.advance(1)
        counter.advance(1)
        return "done"

    assert run() == "done"
    assert sum("the progress of this run is not shown" in line.message for line in caplog.records) == 1
