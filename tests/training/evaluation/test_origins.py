import numpy as np

from tests.helpers.stretches import flagged_stretch
from training.evaluation.origins import release_pairs, spaced_origins, surprise_origins

START = np.datetime64("2020-01-20")
LOOKBACK = 40


def test_origins_are_spread_over_the_candles_to_be_scored():
    source = flagged_stretch()
    origins = spaced_origins([source], START, LOOKBACK, 10)
    assert len(origins) == 10
    assert origins[0].first == np.searchsorted(source.timestamps, START)
    assert origins[-1].first == len(source) - 24
    assert origins[0].last_close == source.candles[origins[0].first - 1, 3]
    np.testing.assert_array_equal(origins[0].actual, source.candles[origins[0].first :, 3][:24])


def test_a_quiet_origin_has_no_event_within_a_day_of_its_candles():
    source = flagged_stretch(c9=[600])
    firsts = [origin.first for origin in spaced_origins([source], START, LOOKBACK, 10**6, quiet=True)]
    assert firsts
    for first in firsts:
        assert not first - 24 <= 600 < first + 48


def test_the_control_of_a_release_is_the_same_hour_of_a_quiet_week():
    source = flagged_stretch(c1=[700], c9=[580, 820])
    ((release, control),) = release_pairs([source], START, 6, LOOKBACK, channel=1)
    ends = [origin.stretch.timestamps[origin.first + 5] for origin in (release, control)]
    assert release.first == 695
    assert abs(ends[0] - ends[1]) % np.timedelta64(7, "D") == np.timedelta64(0)
    # The weeks before and after hold a decision at that hour, so it is one further away.
    assert abs(ends[0] - ends[1]) > np.timedelta64(7, "D")


def test_a_surprise_is_in_the_last_candle_of_the_history():
    source = flagged_stretch(c5=[700], c7=[30])
    (origins,) = surprise_origins([source], START, LOOKBACK, ["EURUSD"])
    assert origins.first == 701
    assert surprise_origins([source], START, LOOKBACK, ["GBPUSD"]) == []
