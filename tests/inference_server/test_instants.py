"""Instants: every way of writing one, and what is no instant."""

import contextlib
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_server.errors import InvalidRequest
from inference_server.instants import iso, parse_instant, parse_instants

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
        1719576000000,
    ],
)
def test_ways_of_writing_one_instant(written: str | int) -> None:
    assert parse_instant(written, "as_of") == NOON


def test_a_date_alone_is_its_midnight() -> None:
    assert parse_instant("2024-06-28", "as_of") == np.datetime64("2024-06-28", "us")


@pytest.mark.parametrize(
    "written",
    ["", "yesterday", "2024-13-01", "24:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
     "1899-12-31", "2200-01-01", 1719576000, 0, 10**15, -(10**15), 2**70, "x" * 1000, "2024-06-28T12:00ZZ"],
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
