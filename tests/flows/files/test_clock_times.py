"""Times of day, and what they say of their zone."""

import pytest

from flows.files.clock_times import ClockTime, read_clock

MINUTE = 60_000_000


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("09:30", ClockTime(570 * MINUTE)),
        ("9:30:15", ClockTime(570 * MINUTE + 15_000_000)),
        ("09:30:00.250000000", ClockTime(570 * MINUTE + 250_000)),
        ("153000", ClockTime(930 * MINUTE)),
        ("0930", ClockTime(570 * MINUTE)),
        ("8:30am", ClockTime(510 * MINUTE, twelve_hours=True)),
        ("12:05 AM", ClockTime(5 * MINUTE, twelve_hours=True)),
        ("12:05 p.m.", ClockTime(725 * MINUTE, twelve_hours=True)),
        ("09:30Z", ClockTime(570 * MINUTE, 0)),
        ("09:30 UTC", ClockTime(570 * MINUTE, 0)),
        ("09:30:00-05:00", ClockTime(570 * MINUTE, -300)),
        ("00:00:00.000 GMT+0530", ClockTime(0, 330)),
        ("09:30 UTC+1", ClockTime(570 * MINUTE, 60)),
        ("09:30 EST", ClockTime(570 * MINUTE, None, "EST")),
        ("09:30 US/Eastern", ClockTime(570 * MINUTE, None, "US/Eastern")),
        ("24:00", None),
        ("09:60", None),
        ("13:00 pm", None),
        ("09:30 Mars/Olympus", None),
        ("09:30 or so", None),
        ("All Day", None),
    ],
)
def test_times_of_day(text: str, read: ClockTime | None) -> None:
    assert read_clock(text) == read
