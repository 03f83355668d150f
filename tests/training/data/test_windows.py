from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from market.event_channels import KNOWLEDGE_CHANNELS, SCHEDULE_CHANNELS
from market.normalise import normalise
from market.time_features import time_features
from tests.helpers.stretches import stretch
from training.data.stretches import Stretch, TrainingError
from training.data.windows import HISTORY, Sampler, cut_window, hide_after

EVENTS = np.random.default_rng(0).normal(1, 0.1, (200, 20)).astype(np.float32)


def test_a_step_always_draws_the_same_windows() -> None:
    sampler = Sampler([stretch(150), stretch(200, seed=1)], 64, 4, seed=3)
    first, again, next_ = sampler.batch(7), sampler.batch(7), sampler.batch(8)
    assert torch.equal(first.values, again.values)
    assert not torch.equal(first.values, next_.values)
    fixed = sampler.fixed(2)
    assert torch.equal(fixed[1].values, sampler.fixed(2)[1].values)


@given(st.lists(st.integers(1, 120), min_size=1, max_size=5), st.integers(0, 2**32))
def test_a_window_stays_within_one_stretch_and_its_cut_within_its_bounds(
    counts: list[int], seed: int
) -> None:
    stretches = [stretch(count, start=f"20{10 + i}-01-05") for i, count in enumerate([*counts, 80])]
    batch = Sampler(stretches, 64, 6, seed).batch(0)
    years = {int(np.int64(source_.timestamps[0].astype("datetime64[Y]"))) for source_ in stretches}
    assert len(years) == len(stretches)
    assert batch.values.shape == (6, 64, 6)
    assert (batch.cut >= int(64 * HISTORY[0])).all()
    assert (batch.cut <= int(64 * HISTORY[1])).all()
    known = {bytes(row.tobytes()) for source_ in stretches for row in _stamps(source_)}
    for row in batch.stamp.numpy():
        assert row.tobytes() in known


def _stamps(source_: Stretch) -> list[NDArray[Any]]:
    source = [cut_window(source_, first, 64, 32) for first in range(max(0, len(source_) - 63))]
    return [window.stamp[0].numpy() for window in source]


def test_too_short_stretches_are_refused_with_the_longest() -> None:
    with pytest.raises(TrainingError, match="window of 64 candles, the longest has 40"):
        Sampler([stretch(40)], 64, 1, 0)


def test_mean_and_spread_come_from_the_history_alone() -> None:
    source = stretch(100)
    window = cut_window(source, 0, 100, 60)
    np.testing.assert_array_equal(window.values[0, :60].numpy(), normalise(source.candles[:60]).values)
    source.candles[60:] *= 1.001
    np.testing.assert_array_equal(cut_window(source, 0, 100, 60).values[0, :60], window.values[0, :60])
    assert window.values.abs().max() <= 5


def test_prices_after_the_cut_reach_the_limit_of_the_tokenizer() -> None:
    source = stretch(100)
    spread = source.candles[:60, 3].std()
    source.candles[60:, :4] += np.linspace(0, 60 * spread, 40)[:, None]
    source.candles[60:, 4:] *= 1e6
    source.candles[10, :4] -= 30 * spread
    narrow = cut_window(source, 0, 100, 60).values[0]
    wide = cut_window(source, 0, 100, 60, price_limit=10.0).values[0]
    assert torch.equal(narrow, wide.clamp(-5, 5))
    assert narrow[60:, 3].max() == 5
    assert wide[60:, 3].max() == 10
    assert wide[:60].abs().max() == 5
    assert wide[60:, 4:].max() == 5


def test_a_timeframe_of_few_windows_is_drawn_more_often_than_its_share() -> None:
    stretches = [stretch(1063, timeframe="1h"), stretch(563, timeframe="1h"), stretch(78, timeframe="1d")]
    sampler = Sampler(stretches, 64, 4000, seed=0)
    stamps = sampler.batch(0).stamp.numpy()
    daily = (stamps[:, 0, 1] == stamps[:, 1, 1]).mean()  # the same hour in every candle
    assert daily == pytest.approx(15**0.3 / (15**0.3 + 1500**0.3), abs=0.03)


def test_dropped_volume_and_amount_are_zero() -> None:
    values = cut_window(stretch(100), 0, 100, 60, drop_volume=True).values[0]
    assert not values[:, 4:].any()
    assert values[:, :4].any()


def test_a_mirrored_window_has_its_highs_above_its_lows() -> None:
    plain = cut_window(stretch(100), 0, 100, 60).values[0]
    mirrored = cut_window(stretch(100), 0, 100, 60, mirror=True).values[0]
    assert torch.equal(mirrored[:, 3], -plain[:, 3])
    assert torch.equal(mirrored[:, 1], -plain[:, 2])
    assert torch.equal(mirrored[:, 4:], plain[:, 4:])


def test_after_the_cut_only_schedule_channels_are_set() -> None:
    window = cut_window(stretch(200, events=EVENTS), 20, 100, 60)
    assert window.events is not None
    events = window.events[0].numpy()
    knowledge, schedule = list(KNOWLEDGE_CHANNELS), list(SCHEDULE_CHANNELS)
    assert not events[60:, knowledge].any()
    np.testing.assert_array_equal(events[:60, knowledge], EVENTS[20:80, knowledge])
    # A token is given the schedule of the candle that it predicts, and the last token has none to predict.
    np.testing.assert_array_equal(events[:-1, schedule], EVENTS[21:120, schedule])
    assert not events[-1, schedule].any()
    np.testing.assert_array_equal(hide_after(EVENTS, 60)[:, schedule], EVENTS[:, schedule])


def test_the_scored_tokens_are_those_that_predict_a_future_candle() -> None:
    future = cut_window(stretch(100), 0, 100, 60).future[0]
    assert not future[:59].any()
    assert future[59:].all()


@pytest.mark.parametrize("channel", [0, 1, 2, 3, 4, 8, 9])
def test_a_release_or_decision_makes_an_event_step(channel: int) -> None:
    rows = np.zeros((200, 20), np.float32)
    rows[50, channel] = 1
    rows[:, 10:14] = 0.5  # the countdown is no event
    window = cut_window(stretch(200, events=rows), 0, 100, 60)
    assert window.event_steps is not None
    assert window.event_steps[0].nonzero().flatten().tolist() == [50]


def test_the_time_fields_are_those_of_the_instrument_s_clock() -> None:
    tokyo = stretch(100, symbol="7203.T")
    assert tokyo.instrument.model_time_zone == "Asia/Tokyo"
    np.testing.assert_array_equal(
        cut_window(tokyo, 0, 100, 60).stamp[0], time_features(tokyo.timestamps, "Asia/Tokyo")
    )


def test_prices_of_small_spread_are_normalised_as_in_a_forecast() -> None:
    small = stretch(100)
    ordinary = cut_window(small, 0, 100, 60).values[0]
    small.candles[:, :4] *= 1e-9
    values = cut_window(small, 0, 100, 60).values[0]
    np.testing.assert_array_equal(values[:60].numpy(), normalise(small.candles[:60]).values)
    np.testing.assert_allclose(values[:, :4], ordinary[:, :4], atol=0.02)
