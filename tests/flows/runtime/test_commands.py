"""A flow that is run once from a command line."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from prefect import flow

from flows.predict import main as predict
from flows.runtime.commands import flow_arguments, local_prefect_defaults, run_once
from flows.score import main as score


def test_the_arguments_of_every_flow_have_defaults() -> None:
    args = flow_arguments("a command", None).parse_args([])
    assert vars(args) == {"timeframe": "1d", "as_of": None}
    args = flow_arguments("a command", None).parse_args(["--timeframe", "1h", "--as-of", "2024-01-31"])
    assert vars(args) == {"timeframe": "1h", "as_of": datetime(2024, 1, 31, tzinfo=UTC)}


def test_an_unreadable_instant_is_refused_before_the_flow_runs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        score(["--as-of", "tomorrow"], prog="kronos score")
    assert refused.value.code == 2
    printed = capsys.readouterr().err
    assert "kronos score: error: argument --as-of: 'tomorrow' is not an ISO 8601 instant" in printed


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        (predict, ["--stale-after", "-1"], "stale_after: Input should be greater than or equal to 0"),
        (score, ["--recheck-days", "40000"], "recheck_days: Input should be less than or equal to 36500"),
    ],
)
def test_an_argument_beyond_its_limit_is_refused_before_the_flow_runs(
    capsys: pytest.CaptureFixture[str],
    command: Callable[[list[str]], int],
    arguments: list[str],
    message: str,
) -> None:
    with pytest.raises(SystemExit) as refused:
        command(arguments)
    assert refused.value.code == 2
    printed = capsys.readouterr().err
    assert "error: these cannot be used:" in printed
    assert message in printed


def test_a_flow_that_fails_is_a_state_and_no_exception(prefect_server: None) -> None:
    @flow
    def fails(message: str) -> None:
        raise ValueError(message)

    state = run_once(fails, message="no candles")
    assert state.is_failed()
    assert "no candles" in str(state.message)


def test_local_prefect_waits_longer_for_its_temporary_server() -> None:
    assert 90 in local_prefect_defaults().values()
