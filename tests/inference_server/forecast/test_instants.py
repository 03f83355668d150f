"""Instants: every way of writing one, and what is no instant."""

import contextlib
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_server.errors import InvalidRequest
from inference_server.forecast.instants import iso, parse_instant, parse_instants
from market.unix_time import from_epoch, read_instant

NOON = np.datetime64("2024-06-28T12:00:00", "us")


@pytest.mark.parametrize(
    "written",
    [
        "2024-06-28T12:00:00Z",
        "2024-06-28T12:00:00",
        "2024-06-28 12:00",
        "2024-06-28T12:00:00.000+00:00",
        "2024-06-28T08:00:00-04:00",
        " 2024-06-28T12:00:00Z ",
        "20240628T120000Z",
        1719576000,
        1719576000000,
        1719576000000000,
        1719576000000000000,
        "1719576000",
        "1719576000.0",
        "1719576000000",
        "1719576000000000",
    ],
)
def test_ways_of_writing_one_instant(written: str | int) -> None:
    assert parse_instant(written, "as_of") == NOON


@pytest.mark.parametrize("written", ["2024-06-28", "20240628", 20240628])
def test_a_date_alone_is_its_midnight(written: str | int) -> None:
    assert parse_instant(written, "as_of") == np.datetime64("2024-06-28", "us")


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@given(moment=st.datetimes(datetime(1973, 4, 1), datetime(2199, 12, 30)))
def test_the_unit_of_a_unix_time_follows_from_its_size(unit: str, moment: datetime) -> None:
    expected = np.datetime64(moment.replace(microsecond=0), "us")
    number = int(expected.astype("datetime64[us]").astype(np.int64)) * 1000
    number //= {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[unit]
    assert from_epoch(number) == expected
    assert read_instant(str(number)) == expected


@given(st.integers(-(2**70), 2**70))
def test_a_number_is_never_taken_for_1970(number: int) -> None:
    instant = from_epoch(number)
    assert (
        instant is None
        or abs(instant - np.datetime64("1970-01-01")) > np.timedelta64(365 * 3, "D")
        or (str(instant)[:10].replace("-", "") == str(number))
    )


@pytest.mark.parametrize(
    "written",
    ["", "yesterday", "2024-13-01", "24:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
     "1899-12-31", "2200-01-01", 0, 1719, 99_999_999, 20241301, 10**19, 2**70, "0", "x" * 1000,
     "2024-06-28T12:00ZZ", "10000000000", 10**10, -(10**10)],
)  # fmt: skip
def test_what_is_no_instant(written: str | int) -> None:
    with pytest.raises(InvalidRequest, match=r"as_of is .*no instant") as refused:
        parse_instant(written, "as_of")
    assert "ISO 8601" in refused.value.expected
    assert len(str(refused.value.given)) <= 80


@given(
    st.datetimes(datetime(1900, 1, 2), datetime(2199, 12, 30)),
    st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_any_zone_means_the_same_instant(moment: datetime, zone: timezone) -> None:
    there = moment.replace(tzinfo=UTC).astimezone(zone)
    assert parse_instant(there.isoformat(), "as_of") == np.datetime64(moment, "us")


@given(st.text(max_size=30))
def test_any_text_is_an_instant_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidRequest):
        assert isinstance(parse_instant(text, "as_of"), np.datetime64)


def test_mixed_writings_make_one_array() -> None:
    instants = parse_instants(
        ["2024-06-28T11:00:00Z", 1719576000000, "2024-06-28T15:00:00+02:00"], "timestamp"
    )
    np.testing.assert_array_equal(instants, NOON + np.arange(-1, 2) * np.timedelta64(1, "h"))
    assert instants.dtype == "datetime64[us]"


@pytest.mark.parametrize(
    "second", ["2024-06-28T12:00:00Z", "2024-06-28T11:59:59Z", "2024-06-28T12:30:00+01:00"]
)
def test_instants_that_do_not_increase_name_their_row(second: str) -> None:
    with pytest.raises(InvalidRequest, match=r"timestamp\[1\] .* is not after"):
        parse_instants(["2024-06-28T12:00:00Z", second, "2024-06-29"], "timestamp")


def test_a_bad_one_among_many_names_its_row() -> None:
    with pytest.raises(InvalidRequest, match=r"timestamp\[1\] is 'no'"):
        parse_instants(["2024-06-28", "no"], "timestamp")


def test_iso_is_read_back() -> None:
    assert iso(NOON) == "2024-06-28T12:00:00Z"
    assert parse_instant(iso(NOON), "as_of") == NOON
