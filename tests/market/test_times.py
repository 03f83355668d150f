"""Conversions of instants between datetime, datetime64 and text."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from market.times import aware, awares, in_utc, instant, instants, minute_text

_NOON = datetime(2024, 6, 3, 12, 30, 15, 250_000, tzinfo=UTC)
_SAME_INSTANT = {
    "aware, UTC": _NOON,
    "naive": _NOON.replace(tzinfo=None),
    "aware, another zone": _NOON.astimezone(ZoneInfo("America/New_York")),
}


@pytest.mark.parametrize("moment", _SAME_INSTANT.values(), ids=_SAME_INSTANT)
def test_a_datetime_becomes_the_same_instant_in_utc(moment: datetime) -> None:
    assert in_utc(moment) == _NOON
    assert in_utc(moment).tzinfo is UTC
    assert instant(moment) == np.datetime64("2024-06-03T12:30:15.250", "us")
    assert instant(moment).dtype == np.dtype("datetime64[us]")


def test_datetimes_of_several_zones_become_one_array() -> None:
    array = instants(_SAME_INSTANT.values())
    assert array.dtype == np.dtype("datetime64[us]")
    assert array.tolist() == [datetime(2024, 6, 3, 12, 30, 15, 250_000)] * 3


def test_no_datetimes_become_an_empty_array() -> None:
    assert instants([]).shape == (0,)
    assert instants([]).dtype == np.dtype("datetime64[us]")
    assert awares(instants([])) == []


@pytest.mark.parametrize("unit", ["D", "m", "s", "us", "ns"])
def test_an_instant_of_any_unit_becomes_an_aware_datetime(unit: str) -> None:
    midnight = np.datetime64("2024-06-03").astype(f"datetime64[{unit}]")
    expected = datetime(2024, 6, 3, tzinfo=UTC)
    assert aware(midnight) == expected
    assert aware(midnight).tzinfo is UTC
    assert awares(np.array([midnight, midnight])) == [expected, expected]


def test_there_and_back_is_the_same_instant() -> None:
    assert aware(instant(_NOON)) == _NOON
    assert awares(instants([_NOON])) == [_NOON]


def test_text_is_cut_to_the_minute() -> None:
    assert minute_text(instant(_NOON)) == "2024-06-03T12:30Z"
    assert minute_text(np.datetime64("2024-06-03", "D")) == "2024-06-03T00:00Z"
