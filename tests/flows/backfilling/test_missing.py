"""Which candles of the past lack a forecast."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.backfilling.missing import Wanted, by_instant, chosen, read_first_candles, read_missing
from flows.backfilling.past_range import PastRange, TimeSlice
from flows.forecasting.store import insert_backfilled
from market.instruments import Instrument
from market.times import instant
from tests.helpers.forecasts_in_store import BTC, START, add_closes, add_forecast, walk
from tests.sql.test_backfilled import row

HOUR = timedelta(hours=1)


def past(first: float, last: float, every: int = 1) -> PastRange:
    return PastRange("1h", START + first * HOUR, START + last * HOUR, every)


def whole(range_: PastRange) -> TimeSlice:
    return TimeSlice(range_.start - timedelta(microseconds=1), range_.end)


def closes(*hours: float) -> np.ndarray:
    return np.array([instant(START + hour * HOUR) for hour in hours])


@pytest.mark.parametrize(
    ("range_", "hours", "expected"),
    [
        (past(1, 3), (0, 1, 2, 3, 4), [1, 2, 3]),
        (past(1, 3), (), []),
        (past(1, 1), (0.5, 1, 1.5), [1]),
        (past(0, 9), (1, 1.5, 1.5, 2), [0, 2, 3]),  # of two that close at once the last
        (past(0, 9, every=3), (0, 1, 2, 3, 4, 5, 7), [0, 3, 5, 6]),
        (past(1, 9, every=3), (1, 2, 3, 4, 5), [0, 3, 4]),
        (past(0, 9, every=3), (4.5, 5.5), [1]),
    ],
)
def test_the_candles_of_a_range(range_: PastRange, hours: tuple[float, ...], expected: list[int]) -> None:
    assert chosen(closes(*hours).astype("datetime64[us]"), range_, whole(range_)).tolist() == expected


@given(
    start=st.integers(0, 50),
    length=st.integers(0, 700),
    every=st.integers(1, 60),
    taken=st.sets(st.integers(0, 800)),
)
def test_the_parts_of_a_range_choose_what_the_whole_does(
    start: int, length: int, every: int, taken: set[int]
) -> None:
    range_ = past(start, start + length, every)
    stamps = closes(*sorted(taken)).astype("datetime64[us]")
    parts = [chosen(stamps, range_, part) for part in range_.slices()]
    np.testing.assert_array_equal(np.concatenate(parts), chosen(stamps, range_, whole(range_)))


@pytest.fixture
def market(database: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Sixty hourly candles, the live forecasts of the hours 10 and 30, and a backfilled one of hour 20."""
    prices = walk(60)
    add_closes(database, "BTC-USD", prices)
    for hour in (10, 30):
        add_forecast(database, prices, hour)
    insert_backfilled(database, [row(START + 20 * HOUR, 1.0, symbol="BTC-USD")])
    return database


def missing_hours(
    database: psycopg.Connection[Any], range_: PastRange, backfilled_since: datetime | None = None
) -> tuple[list[float], int, int]:
    newest = {"BTC-USD": START + 30 * HOUR}
    wanted = Wanted(range_, "tiny", newest, backfilled_since)
    missing = read_missing(database, wanted, {"BTC-USD": BTC}, whole(range_))
    hours = [(when - START) / HOUR for when, symbols in by_instant(missing.starts) for symbol in symbols]
    return hours, missing.stored["BTC-USD"], missing.left_to_live["BTC-USD"]


def test_what_is_stored_or_not_before_the_newest_live_forecast_is_left_alone(
    market: psycopg.Connection[Any],
) -> None:
    # A forecast from the candle of hour n is made when that closes, in hour n + 1.
    assert missing_hours(market, past(10, 13)) == ([10, 12, 13], 1, 0)
    assert missing_hours(market, past(20, 22)) == ([20, 22], 1, 0)
    assert missing_hours(market, past(30, 33)) == ([30], 1, 2)
    assert missing_hours(market, past(21, 21)) == ([], 1, 0)


def test_backfilled_forecasts_are_missing_if_they_are_to_be_made_again(
    market: psycopg.Connection[Any],
) -> None:
    later = datetime.now(UTC) + HOUR
    assert missing_hours(market, past(11, 21), later)[0][-1] == 21
    assert missing_hours(market, past(11, 21), later)[1] == 1  # the live one stays
    assert missing_hours(market, past(11, 21), START)[0][-1] == 20  # made since: by this run


def test_aggregated_candles_are_looked_for_where_a_timeframe_has_none(
    market: psycopg.Connection[Any],
) -> None:
    range_ = PastRange("4h", START + 8 * HOUR, START + 20 * HOUR, 1)
    wanted = Wanted(range_, "tiny", {"BTC-USD": START + 40 * HOUR}, None)
    missing = read_missing(market, wanted, {"BTC-USD": BTC}, whole(range_))
    opens = [(when - START) / HOUR for when, symbols in by_instant(missing.starts) for _ in symbols]
    assert opens == [8, 12, 16, 20]  # made when the candles of the hours 4 to 20 closed
    assert read_first_candles(market, "4h", ["BTC-USD", "NONE"]) == {"BTC-USD": START}


def test_a_symbol_whose_candles_have_no_known_hours_is_named(market: psycopg.Connection[Any]) -> None:
    wanted = Wanted(past(1, 9), "tiny", {"BTC-USD": START + 30 * HOUR}, None)
    strange = Instrument("BTC-USD", "crypto", "MOON")
    missing = read_missing(market, wanted, {"BTC-USD": strange}, whole(wanted.past))
    assert len(missing) == 0
    assert "unknown calendar 'MOON'" in missing.unusable["BTC-USD"]


def test_the_first_candle_of_each_symbol(market: psycopg.Connection[Any]) -> None:
    assert read_first_candles(market, "1h", ["BTC-USD", "NONE"]) == {"BTC-USD": START}
