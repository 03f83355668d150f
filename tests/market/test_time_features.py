from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from market.time_features import time_features

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


@given(
    st.lists(INSTANTS, min_size=2, max_size=20),
    st.sampled_from(["Asia/Shanghai", "America/New_York", "Asia/Kathmandu", "UTC"]),
)
def test_the_fields_are_those_of_a_clock_on_the_wall(instants: list[datetime], zone: str) -> None:
    moments = [moment.replace(tzinfo=UTC) for moment in instants]
    assume(any(moment.time() != time() for moment in moments))
    shown = [moment.astimezone(ZoneInfo(zone)) for moment in moments]
    expected = [[t.minute, t.hour, t.weekday(), t.day, t.month] for t in shown]
    assert time_features(np.array(instants, "datetime64[us]"), zone).tolist() == expected


def test_an_open_of_shanghai_is_half_past_nine_there() -> None:
    opens = np.array(["2024-06-18T01:30", "2024-06-18T05:00"], "datetime64[us]")
    assert time_features(opens, "Asia/Shanghai")[:, :2].tolist() == [[30, 9], [0, 13]]
    assert time_features(opens)[:, :2].tolist() == [[30, 1], [0, 5]]


def test_a_clock_that_is_put_back_shows_an_hour_twice() -> None:
    instants = np.array(["2024-11-03T05:30", "2024-11-03T06:30"], "datetime64[us]")
    assert time_features(instants, "America/New_York")[:, :2].tolist() == [[30, 1], [30, 1]]


def test_dates_stay_what_they_are_on_every_clock() -> None:
    days = np.arange("2024-06-03", "2024-06-10", dtype="datetime64[D]").astype("datetime64[us]")
    for zone in ("Asia/Shanghai", "America/New_York"):
        np.testing.assert_array_equal(time_features(days, zone), time_features(days))
