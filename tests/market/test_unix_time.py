"""Whole arrays of Unix times, read as single ones are."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from market.unix_time import from_epoch, from_epochs

NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 10**9).map(lambda number: number + 1_000_000_000),
    st.integers(19_000_101, 21_991_231),
    st.sampled_from(
        [sign * 10**power + step for sign in (1, -1) for power in (8, 11, 14, 17) for step in (-1, 0, 1)]
    ),
)


@given(st.lists(NUMBERS, max_size=20))
def test_arrays_are_read_as_single_numbers(numbers: list[int]) -> None:
    read = from_epochs(np.array(numbers, dtype=np.int64))
    expected = [from_epoch(number) for number in numbers]
    assert [None if np.isnat(instant) else instant for instant in read] == expected
