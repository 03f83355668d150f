from typing import Any

import numpy as np
import pytest

from market.event_channels import (
    EVENT_CHANNELS,
    KNOWLEDGE_CHANNELS,
    SCHEDULE_CHANNELS,
    align_events,
)
from market.types import Float32Array


def rows(count: int) -> Float32Array:
    return np.arange(1, count * 20 + 1, dtype=np.float32).reshape(count, 20)


def test_channels_are_split_into_schedule_knowledge_and_reserved() -> None:
    assert len(EVENT_CHANNELS) == len(set(EVENT_CHANNELS)) == 20
    assert sorted((*SCHEDULE_CHANNELS, *KNOWLEDGE_CHANNELS, 18, 19)) == list(range(20))


def test_same_leaves_rows_on_their_tokens() -> None:
    events = rows(5)
    np.testing.assert_array_equal(align_events(events, "same"), rows(5))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_next_gives_a_token_the_schedule_of_the_candle_it_predicts(count: int) -> None:
    events = rows(count)
    aligned = align_events(events, "next")
    assert aligned.dtype == np.float32
    assert aligned.flags.c_contiguous
    np.testing.assert_array_equal(events, rows(count))
    for channel in range(20):
        if channel in SCHEDULE_CHANNELS:
            np.testing.assert_array_equal(aligned[:-1, channel], events[1:, channel])
            assert aligned[-1, channel] == 0
        else:
            np.testing.assert_array_equal(aligned[:, channel], events[:, channel])


def test_an_unknown_alignment_is_an_error() -> None:
    unknown: Any = "previous"
    with pytest.raises(ValueError, match=r"'previous'.*'same' or 'next'"):
        align_events(rows(2), unknown)
