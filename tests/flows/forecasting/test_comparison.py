"""The comparison's table; the demo's test runs all of it on a real server and database."""

from datetime import UTC, datetime

import numpy as np
from rich.console import Console

from flows.forecasting import comparison
from flows.forecasting.comparison import Comparison, comparison_table
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


def test_the_table_shows_the_releases_and_the_ratio_of_the_widths() -> None:
    wide, narrow = answer([1.04, 1.03, 1.02], [1.06, 1.07, 1.08]), answer([1.04] * 3, [1.06] * 3)
    console = Console(width=120)
    with console.capture() as printed:
        console.print(comparison_table(Comparison("EURUSD", wide, narrow, {1: ["fomc"]})))
    lines = [line.split() for line in printed.get().splitlines() if line.strip().startswith("2022")]
    assert [line[-1] for line in lines] == ["1.00", "2.00", "3.00"]
    assert "fomc" in lines[1]
    assert "fomc" not in lines[0] + lines[2]


def test_releases_are_those_of_the_prediction_window() -> None:
    events = np.zeros((10, 20), np.float32)
    events[2, 0] = events[7, 1] = events[9, 2] = events[9, 0] = events[8, 9] = 1
    assert comparison._releases(events, 4) == {1: ["cpi"], 3: ["fomc", "nfp"]}
