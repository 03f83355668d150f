"""Timeframes and the spellings in which they are accepted."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.timeframes import (
    CANDLE_DURATION,
    CANDLE_TABLE,
    INTRADAY,
    TIMEFRAMES,
    UnknownTimeframe,
    parse_timeframe,
)


def test_every_timeframe_has_a_length_and_a_table_from_the_shortest_to_the_longest() -> None:
    assert list(CANDLE_DURATION) == list(CANDLE_TABLE) == list(TIMEFRAMES)
    lengths = list(CANDLE_DURATION.values())
    assert lengths == sorted(set(lengths))
    assert {CANDLE_TABLE["1h"], CANDLE_TABLE["1d"]} == {"ohlcv_1h", "ohlcv_1d"}
    assert set(TIMEFRAMES) - INTRADAY == {"1d", "1w"}


@pytest.mark.parametrize("timeframe", TIMEFRAMES)
def test_a_name_is_its_own_spelling(timeframe: str) -> None:
    assert parse_timeframe(timeframe) == timeframe


@pytest.mark.parametrize(
    ("text", "timeframe"),
    [
        ("60m", "1h"), ("1H", "1h"), ("1D", "1d"), ("5min", "5m"), ("1 hour", "1h"), ("240m", "4h"),
        ("4H", "4h"), ("24h", "1d"), ("7d", "1w"), ("1W", "1w"), ("30Min", "30m"), (" 1d ", "1d"),
        ("15 minutes", "15m"), ("1wk", "1w"), ("60MIN", "1h"),
    ],
)  # fmt: skip
def test_other_spellings_are_taken(text: str, timeframe: str) -> None:
    assert parse_timeframe(text) == timeframe


@pytest.mark.parametrize("text", ["1M", "5M", "3 M"])
def test_a_capital_m_is_refused_by_name(text: str) -> None:
    with pytest.raises(UnknownTimeframe, match=rf"'{text}' is a month elsewhere.*1m, 5m.*1w"):
        parse_timeframe(text)


@pytest.mark.parametrize(
    "text", ["", "h", "3h", "1mo", "0m", "1.5h", "-1h", "hourly", "1h1h", "99999w", "١h"]
)
def test_others_are_refused_with_the_list(text: str) -> None:
    with pytest.raises(UnknownTimeframe, match=r"expected one of 1m, 5m, 15m, 30m, 1h, 2h, 4h, 1d, 1w$"):
        parse_timeframe(text)


@given(st.integers(1, 20_000), st.sampled_from([("m", 1), ("min", 1), ("h", 60), ("d", 1440), ("W", 10080)]))
def test_a_spelling_names_the_timeframe_of_its_length(count: int, unit: tuple[str, int]) -> None:
    letters, minutes = unit
    length = timedelta(minutes=count * minutes)
    if length in CANDLE_DURATION.values():
        assert CANDLE_DURATION[parse_timeframe(f"{count}{letters}")] == length
    else:
        with pytest.raises(UnknownTimeframe):
            parse_timeframe(f"{count}{letters}")
