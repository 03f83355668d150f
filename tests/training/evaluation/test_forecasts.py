from dataclasses import replace

import numpy as np
import pytest

from inference_server.engine.engine import Engine
from tests.helpers.stretches import stretch
from training.data.stretches import TrainingError
from training.evaluation.forecasts import (
    Paths,
    _pairs,
    spaced_origins,
    surprise_origins,
    walk_figures,
    width_figures,
)

START = np.datetime64("2020-01-20")
LOOKBACK = 40


def with_rows(count=1400, **cells):
    rows = np.zeros((count, 20), np.float32)
    for channel, places in cells.items():
        rows[places, int(channel[1:])] = 1
    return stretch(count, events=rows)


def test_origins_are_spread_over_the_candles_to_be_scored():
    whole = with_rows()
    found = spaced_origins([whole], START, LOOKBACK, 10)
    assert len(found) == 10
    assert found[0].first == np.searchsorted(whole.timestamps, START)
    assert found[-1].first == len(whole) - 24
    assert found[0].last_close == whole.candles[found[0].first - 1, 3]
    np.testing.assert_array_equal(found[0].closes, whole.candles[found[0].first :, 3][:24])


def test_a_quiet_origin_has_no_event_within_a_day_of_its_candles():
    whole = with_rows(c9=[600])
    firsts = [origin.first for origin in spaced_origins([whole], START, LOOKBACK, 10**6, quiet=True)]
    assert firsts
    for first in firsts:
        assert not first - 24 <= 600 < first + 48


def test_the_control_of_a_release_is_the_same_hour_of_a_quiet_week():
    whole = with_rows(c1=[700], c9=[580, 820])
    ((release, control),) = _pairs([whole], START, 6, LOOKBACK, channel=1)
    ends = [origin.stretch.timestamps[origin.first + 5] for origin in (release, control)]
    assert release.first == 695
    assert abs(ends[0] - ends[1]) % np.timedelta64(7, "D") == np.timedelta64(0)
    # The weeks before and after hold a decision at that hour, so it is one further away.
    assert abs(ends[0] - ends[1]) > np.timedelta64(7, "D")


def test_a_surprise_is_the_last_candle_that_a_forecast_knows():
    whole = with_rows(c5=[700], c7=[30])
    (found,) = surprise_origins([whole], START, LOOKBACK, ["EURUSD"])
    assert found.first == 701
    assert surprise_origins([whole], START, LOOKBACK, ["GBPUSD"]) == []


@pytest.fixture(scope="module")
def paths(tiny_bundle):
    return Paths(Engine.load(tiny_bundle, threads=1), LOOKBACK, samples=4)


def test_events_act_and_everything_is_counted(paths):
    whole = with_rows(c1=[700], c9=[1390])
    origins = spaced_origins([whole], START, LOOKBACK, 3)
    base, told = (paths.closes(origins, events=events) for events in (False, True))
    assert [each.shape for each in base] == [(4, 24)] * 3
    assert not np.array_equal(base[-1], told[-1])
    figures = walk_figures(paths, origins, events=True)
    assert len(figures) == 12
    assert {figure.n for figure in figures} == {3}
    names = {figure.name: figure for figure in width_figures(paths, [whole], START, (1,))}
    assert names["step 1, with events: CPI alone"].n == 1
    assert names["step 1, with events: NFP alone"].n == 0


def test_paths_that_are_no_numbers_are_an_error_and_no_misses(paths):
    origins = spaced_origins([with_rows()], START, LOOKBACK, 2)

    class Broken:
        def forecast(self, jobs):
            made = [each.copy() for each in paths.engine.forecast(jobs)]
            made[-1][0, 3] = np.nan
            return made

    with pytest.raises(TrainingError, match="1 of 2 forecasts without events hold values"):
        walk_figures(Paths(Broken(), LOOKBACK, 4), origins, events=False)


def test_what_serving_cannot_know_changes_nothing(paths):
    whole = with_rows(c1=[700])
    (origin,) = spaced_origins([whole], START, LOOKBACK, 1)
    later = whole.events.copy()
    later[origin.first :, [5, 6, 7, 14, 15, 16, 17]] = 3
    other = replace(origin, stretch=replace(whole, events=later))
    ours, theirs = (paths.closes([each], events=True)[0] for each in (origin, other))
    np.testing.assert_array_equal(ours, theirs)
