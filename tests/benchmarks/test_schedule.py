"""What the benchmark of a schedule takes for a late run, its candles, and the deployments it installs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
import yaml

from benchmarks.machine import ROOT
from benchmarks.schedule.installation import DEPLOYMENTS, DOCUMENTATION, with_documented_deployments
from benchmarks.schedule.market import PRICES, STEP, SYMBOLS, five_minute_candles, last_close
from benchmarks.schedule.runs import FORECASTS, SCORES, ScheduledRun, faults

CLOSE = datetime(2026, 11, 26, 6, 55, tzinfo=UTC)
DUE = CLOSE + timedelta(seconds=15)
IN_TIME: dict[str, Any] = {
    "deployment": FORECASTS,
    "due": DUE,
    "began": DUE + timedelta(seconds=2),
    "ended": DUE + timedelta(seconds=40),
    "kind": "COMPLETED",
    "states": ("Scheduled", "Pending", "Running", "Completed"),
    "rows": len(SYMBOLS),
    "rows_at": DUE + timedelta(seconds=39),
}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, None),
        ({"states": ("Scheduled", "Late", "Pending", "Running", "Completed")}, "no worker took it in time"),
        ({"kind": "FAILED", "states": ("Running", "Failed")}, "it is Failed"),
        ({"kind": "RUNNING", "states": ("Scheduled", "Running"), "ended": None}, "it is Running"),
        ({"ended": DUE + STEP - timedelta(seconds=1)}, None),
        ({"ended": DUE + STEP}, "it ended after the next one was due"),
        ({"deployment": SCORES, "ended": DUE + 2 * STEP, "rows": None}, None),
        ({"deployment": SCORES, "ended": DUE + timedelta(hours=1), "rows": None}, "it ended after"),
        ({"rows": 24, "rows_at": None}, "24 of 25 rows"),
    ],
)
def test_a_late_run_is_named(change: dict[str, Any], fault: str | None) -> None:
    found = faults([ScheduledRun(**IN_TIME | change)], CLOSE, CLOSE)
    assert len(found) == (fault is not None)
    assert all(f"{DUE:%H:%M:%S}: {fault}" in sentence for sentence in found)


def test_a_candle_for_which_no_run_was_due_is_named() -> None:
    runs = [ScheduledRun(**IN_TIME), ScheduledRun(**IN_TIME | {"deployment": SCORES, "due": DUE + STEP})]
    assert faults(runs, CLOSE, CLOSE + STEP) == []
    assert faults(runs, CLOSE, CLOSE + 2 * STEP) == ["no run for the candle that closed at 07:00"]


@pytest.mark.parametrize("seconds", [0, 15, 299.9])
def test_the_last_close_is_on_the_grid(seconds: float) -> None:
    assert last_close(CLOSE + timedelta(seconds=seconds)) == CLOSE


def test_every_symbol_has_candles_of_five_minutes_without_a_hole() -> None:
    candles = five_minute_candles(CLOSE, 40)
    assert dict(candles.group_by("symbol").len().iter_rows()) == dict.fromkeys(SYMBOLS, 40)
    for _, of_symbol in candles.group_by("symbol"):
        assert of_symbol["timestamp"].to_list() == [CLOSE + number * STEP for number in range(40)]
    highest, lowest = pl.max_horizontal(PRICES), pl.min_horizontal(PRICES)
    assert candles.filter((pl.col("high") < highest) | (pl.col("low") > lowest) | (lowest <= 0)).is_empty()
    moves = (pl.col("close") / pl.col("open")).log().std() / (pl.col("high") / pl.col("low")).log().mean()
    assert 0.2 < candles.select(moves).item() < 2


def test_the_documented_deployments_are_added_to_those_of_the_checkout() -> None:
    content = (ROOT / "prefect.yaml").read_text()
    before = yaml.safe_load(content)["deployments"]
    after = yaml.safe_load(with_documented_deployments(content, DOCUMENTATION.read_text()))["deployments"]
    assert after[: len(before)] == before
    assert tuple(deployment["name"] for deployment in after[len(before) :]) == DEPLOYMENTS
    forecasts, scores = after[len(before) :]
    assert forecasts["schedules"][0]["cron"] == "*/5 * * * * 15"
    assert scores["schedules"][0]["cron"] == "25 * * * *"
    assert forecasts["work_pool"] == scores["work_pool"] == before[0]["work_pool"]
