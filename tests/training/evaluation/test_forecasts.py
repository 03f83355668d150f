from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inference_server.engine.engine import Engine
from inference_server.engine.jobs import ForecastJob
from market.types import Float32Array
from tests.helpers.stretches import flagged_stretch
from training.data.stretches import TrainingError
from training.evaluation.forecasts import Forecaster, random_walk_figures, width_figures
from training.evaluation.origins import spaced_origins

START = np.datetime64("2020-01-20")
LOOKBACK = 40


@pytest.fixture(scope="module")
def forecaster(tiny_bundle: Path) -> Forecaster:
    return Forecaster(Engine.load(tiny_bundle, threads=1), LOOKBACK, samples=4)


def test_events_change_the_forecasts_and_every_case_is_counted(forecaster: Forecaster) -> None:
    source = flagged_stretch(c1=[700], c9=[1390])
    origins = spaced_origins([source], START, LOOKBACK, 3)
    without, with_events = (forecaster.closes(origins, events=events) for events in (False, True))
    assert [closes.shape for closes in without] == [(4, 24)] * 3
    assert not np.array_equal(without[-1], with_events[-1])
    figures = random_walk_figures(forecaster, origins, events=True)
    assert len(figures) == 12
    assert {figure.n for figure in figures} == {3}
    names = {figure.name: figure for figure in width_figures(forecaster, [source], START, (1,))}
    assert names["step 1, with events: CPI alone"].n == 1
    assert names["step 1, with events: NFP alone"].n == 0


def test_nan_in_a_path_is_an_error_rather_than_a_miss(forecaster: Forecaster) -> None:
    origins = spaced_origins([flagged_stretch()], START, LOOKBACK, 2)

    class Broken(Engine):
        def __init__(self) -> None:
            """Load nothing: the forecasts come from another engine."""

        def forecast(self, jobs: Sequence[ForecastJob]) -> list[Float32Array]:
            made = [paths.copy() for paths in forecaster.engine.forecast(jobs)]
            made[-1][0, 3] = np.nan
            return made

    with pytest.raises(TrainingError, match="1 of 2 forecasts without events hold NaN or infinite values"):
        random_walk_figures(Forecaster(Broken(), LOOKBACK, 4), origins, events=False)


def test_values_that_serving_cannot_know_change_nothing(forecaster: Forecaster) -> None:
    source = flagged_stretch(c1=[700])
    (origin,) = spaced_origins([source], START, LOOKBACK, 1)
    assert source.events is not None
    later = source.events.copy()
    later[origin.first :, [5, 6, 7, 14, 15, 16, 17]] = 3
    other = replace(origin, stretch=replace(source, events=later))
    seen, changed = (forecaster.closes([o], events=True)[0] for o in (origin, other))
    np.testing.assert_array_equal(seen, changed)
