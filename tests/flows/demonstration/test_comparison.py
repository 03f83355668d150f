"""The comparison's table; the demo's test runs all of it on a real server and database."""

from datetime import UTC, datetime

import numpy as np
from rich.console import Console

from flows.demonstration import comparison
from flows.demonstration.comparison import Comparison, comparison_lines, event_comparison_table
from inference_server.schemas import FeatureColumns, ModelName, PredictAnswer


def answer(p10: list[float], p90: list[float]) -> PredictAnswer:
    return PredictAnswer(
        symbol="EURUSD",
        timeframe="1h",
        as_of=datetime(2022, 6, 15, 11, tzinfo=UTC),
        timestamps=[datetime(2022, 6, 15, 12 + hour, tzinfo=UTC) for hour in range(len(p10))],
        p10=p10,
        p50=[1.05] * len(p10),
        p90=p90,
        mean=FeatureColumns(open=[], high=[], low=[], close=[], volume=[], amount=[]),
        seed=7,
        sample_count=20,
        lookback_used=392,
        model=ModelName(name="demo", version="1"),
        events_used=True,
        warnings=[],
    )


def test_both_envelopes_stand_below_each_other_in_80_columns() -> None:
    wide, narrow = answer([1.04, 1.03, 1.02], [1.06, 1.07, 1.08]), answer([1.04] * 3, [1.06] * 3)
    found = Comparison("EURUSD", wide, narrow, {1: ["fomc"]})
    console = Console(width=80)
    with console.capture() as printed:
        console.print(event_comparison_table(found))
    lines = [
        line.split() for line in printed.get().splitlines() if {"with", "without"} & set(line.split()[:4])
    ]
    rows = [line for line in lines if "1.0500" in line]
    assert [row[-1] for row in rows] == ["0.02", "0.02", "0.04", "0.02", "0.06", "0.02"]
    assert rows[2][:4] == ["2022-06-15", "13:00", "fomc", "with"]
    assert rows[3][0] == "without"
    assert comparison_lines(found) == [
        "p10 to p90 at the candle of FOMC is 2.00 times as wide with events as without "
        "(of few paths, which vary by chance)."
    ]


def test_an_envelope_without_width_has_no_ratio() -> None:
    flat = answer([1.05, 1.05], [1.05, 1.05])
    assert comparison_lines(Comparison("EURUSD", flat, flat, {1: ["cpi"]})) == []


def test_releases_are_those_of_the_prediction_window() -> None:
    events = np.zeros((10, 20), np.float32)
    events[2, 0] = events[7, 1] = events[9, 2] = events[9, 0] = events[8, 9] = 1
    assert comparison._releases(events, 4) == {1: ["cpi"], 3: ["fomc", "nfp"]}
