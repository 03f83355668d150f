from datetime import datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inference_server.time_features import time_features

INSTANTS = st.datetimes(min_value=datetime(1960, 1, 1), max_value=datetime(2100, 1, 1))


@given(st.lists(INSTANTS, min_size=1, max_size=20))
def test_the_fields_are_the_calendar_s(instants: list[datetime]) -> None:
    expected = [[t.minute, t.hour, t.weekday(), t.day, t.month] for t in instants]
    assert time_features(np.array(instants, "datetime64[us]")).tolist() == expected


def test_a_leap_day_and_the_turn_of_a_year() -> None:
    first = datetime(2024, 2, 28, 23, 30)
    instants = [first, first + timedelta(hours=1), datetime(2024, 12, 31, 23, 59), datetime(2025, 1, 1)]
    features = time_features(np.array(instants, "datetime64[us]"))
    assert features[:, 3].tolist() == [28, 29, 31, 1]
    assert features[:, 4].tolist() == [2, 2, 12, 1]
