"""Tests scores as one row per step, their averages in every split, and their table and picture."""

import base64
import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from flows.scoring.calibration import Calibration
from flows.scoring.calibration_store import LearnedCalibration
from flows.scoring.picture import data_url, reliability_picture
from flows.scoring.score_tables import calibration_lines, score_table
from flows.scoring.splits import beside, summary
from flows.scoring.steps import WIDE_SCHEMA, booleans, numbers, steps_of

AS_OF = datetime(2024, 6, 12, 10, tzinfo=UTC)


def forecast(**changed: Any) -> dict[str, Any]:
    row = {
        "model": "m",
        "symbol": "EURUSD",
        "as_of": AS_OF,
        "last_close": 100.0,
        "events_active": ["cpi", "fomc"],
        "p10": [99.0, 98.0],
        "p50": [100.0, 100.0],
        "p90": [101.0, 102.0],
        "p10_calibrated": None,
        "p90_calibrated": None,
        "actual": [100.5, 103.0],
        "covered": [True, False],
        "covered_calibrated": None,
        "pinball": [0.2, 0.6],
        "abs_error": [0.5, 3.0],
        "direction_hit": [True, None],
        "crps": None,
        "step_events": ["", "cpi,fomc"],
        "event_day": [False, True],
    }
    return row | changed


def frame(*forecasts: dict[str, Any]) -> pl.DataFrame:
    return steps_of(pl.DataFrame(list(forecasts), schema=WIDE_SCHEMA))


def figure(table: pl.DataFrame, split: str, value: str, name: str) -> Any:
    return table.filter(split=split, value=value)[name].item()


def test_one_row_per_step_where_whole_lists_may_be_missing() -> None:
    steps = frame(forecast(), forecast(symbol="SPY", crps=[0.1, 0.2], event_day=None, step_events=None))
    assert steps["step"].to_list() == [1, 2, 1, 2]
    assert steps["crps"].to_list() == [None, None, 0.1, 0.2]
    assert steps["event_day"].to_list() == [False, True, None, None]
    assert steps["symbol"].to_list() == ["EURUSD"] * 2 + ["SPY"] * 2


def test_missing_figures_are_null() -> None:
    assert numbers(np.array([1.5, math.nan])) == [1.5, None]
    assert booleans(np.array([1.0, 0.0, math.nan])) == [True, False, None]


def test_every_split() -> None:
    table = summary(
        frame(forecast(), forecast(symbol="SPY", events_active=[], step_events=None, event_day=None))
    )
    assert table.select("split", "value").rows() == [
        ("all", ""),
        ("symbol", "EURUSD"),
        ("symbol", "SPY"),
        ("step", "1"),
        ("step", "2"),
        ("release", "cpi"),
        ("release", "fomc"),
        ("release", "none"),
        ("day", "event"),
        ("day", "quiet"),
        ("made under", "cpi"),
        ("made under", "fomc"),
        ("made under", "none"),
    ]
    assert figure(table, "all", "", "forecasts") == 2
    assert figure(table, "all", "", "closes") == 4
    assert figure(table, "all", "", "coverage") == 0.5
    assert figure(table, "step", "1", "coverage") == 1.0
    assert figure(table, "step", "2", "mae") == pytest.approx(300.0)
    assert figure(table, "release", "fomc", "pinball") == pytest.approx(60.0)
    assert figure(table, "release", "fomc", "closes") == 1
    assert figure(table, "day", "quiet", "pinball") == pytest.approx(20.0)
    assert figure(table, "step", "2", "direction") is None
    assert figure(table, "all", "", "crps") is None


def test_coverage_before_and_after_is_that_of_the_same_closes() -> None:
    widened = forecast(as_of=AS_OF.replace(hour=11), covered=[False, False], covered_calibrated=[True, False])
    table = summary(frame(forecast(), widened))
    names = ("coverage", "coverage_before", "coverage_calibrated")
    assert [figure(table, "all", "", name) for name in names] == [0.25, 0.0, 0.5]


def test_unknown_closes_do_not_count() -> None:
    missing = {
        name: [value, None] for name, value in [("actual", 100.5), ("covered", True), ("pinball", 0.2)]
    }
    assert figure(summary(frame(forecast(**missing))), "all", "", "closes") == 1


def test_a_last_close_of_zero_or_below_has_no_basis_points() -> None:
    spreads = [forecast(symbol="SPREAD", last_close=close) for close in (-2.0, 0.0)]
    table = summary(frame(forecast(), *spreads))
    assert figure(table, "all", "", "closes") == 6
    assert figure(table, "all", "", "pinball") == figure(table, "symbol", "EURUSD", "pinball")
    assert figure(table, "symbol", "SPREAD", "pinball") is None


def test_no_forecasts_give_no_rows() -> None:
    assert summary(frame()).is_empty()
    assert score_table(summary(frame())) == []


def test_a_baseline_in_columns_beside_the_model() -> None:
    table = summary(frame(forecast(), forecast(model="walk", pinball=[0.4, 1.2])))
    rows = beside(table, "m", "walk", ["pinball"])
    assert rows["model"].unique().to_list() == ["m"]
    assert (rows["baseline_pinball"] / rows["pinball"]).to_list() == pytest.approx([2.0] * len(rows))


def test_the_table_of_the_artifact() -> None:
    first = score_table(summary(frame(forecast())))[0]
    assert first == {
        "split": "all",
        "value": "",
        "forecasts": "1",
        "closes": "2",
        "coverage, %": "50.0",
        "of those calibrated: raw, %": "–",
        "calibrated, %": "–",
        "pinball, bp": "40.0",
        "CRPS, bp": "–",
        "MAE, bp": "175.0",
        "direction, %": "100.0",
    }
    assert score_table(summary(frame(forecast(), forecast(model="b"))))[0]["model"] == "b"


def test_a_sentence_for_each_learned_calibration() -> None:
    calibration = Calibration(
        np.array([0.5, 0.25, math.nan]), np.array([1.0, 2.0, math.nan]), np.array([90, 80, 9])
    )
    assert calibration_lines([LearnedCalibration("m", "fx", calibration)]) == [
        "Learned for m, fx: step 1: p10 down 0.50, p90 up 1.00 widths (90 closes); "
        "step 2: p10 down 0.25, p90 up 2.00 widths (80 closes)"
    ]


@pytest.mark.parametrize("calibrated", [None, [98.0, 97.0]])
def test_the_picture_is_a_png_in_a_url(calibrated: list[float] | None) -> None:
    covered = None if calibrated is None else [True, False]
    steps = frame(forecast(p10_calibrated=calibrated, p90_calibrated=calibrated, covered_calibrated=covered))
    url = data_url(reliability_picture(steps, "m"))
    assert base64.b64decode(url.removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")
