"""Local times of candles as instants: hours that a clock shows twice or never, and abbreviations."""

from datetime import datetime

import polars as pl
import pytest

from flows.files.errors import TableError
from flows.files.zones import in_named_zone, in_utc, is_zone, zone_of

BERLIN = "Europe/Berlin"
AUTUMN = [datetime(2024, 10, 27, hour) for hour in (1, 2, 2, 3)]  # in UTC: 23, 0, 1, 2


def hours(times: pl.Series) -> list[int]:
    return times.dt.hour().to_list()


def test_of_an_hour_that_occurs_twice_the_older_candle_is_the_earlier() -> None:
    symbols = pl.Series(["A"] * 4)
    assert hours(in_utc(pl.Series(AUTUMN), BERLIN, symbols, newest_first=False)) == [23, 0, 1, 2]
    assert hours(in_utc(pl.Series(AUTUMN[::-1]), BERLIN, symbols, newest_first=True)) == [2, 1, 0, 23]


def test_each_symbol_has_its_own_order() -> None:
    local = pl.Series([AUTUMN[1]] * 3)
    read = in_utc(local, BERLIN, pl.Series(["A", "B", "A"]), newest_first=False)
    assert hours(read) == [0, 1, 1]


def test_an_hour_that_never_was_shows_another_zone() -> None:
    local = pl.Series([datetime(2024, 3, 31, 2, 30)])
    with pytest.raises(TableError, match="the clocks of Europe/Berlin never showed 2024-03-31 02:30"):
        in_utc(local, BERLIN, pl.Series(["A"]), newest_first=False)


def test_abbreviations_belong_to_the_zone_that_is_given() -> None:
    local = pl.Series([datetime(2024, 11, 3, 1, 30)])
    assert hours(in_named_zone(local, "EDT", "America/New_York")) == [5]
    assert hours(in_named_zone(local, "EST", "America/New_York")) == [6]
    with pytest.raises(TableError, match="2024-11-03 01:30 EST is no time of Europe/Berlin"):
        in_named_zone(local, "EST", BERLIN)


def test_names_of_zones() -> None:
    assert is_zone("US/Eastern")
    assert not is_zone("EST")
    assert not is_zone("Mars/Olympus")
    with pytest.raises(TableError, match="there is no time zone 'Mars'; expected a name such as"):
        zone_of("Mars")
