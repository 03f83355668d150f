"""Which column of a file is which: times in one or two columns, volumes, turnovers, indices."""

from typing import Any

import polars as pl
import pytest

from flows.files.candle_columns import candle_columns
from flows.files.options import ReadOptions

PRICES: dict[str, Any] = {"open": [1.0], "high": [2.0], "low": [0.5], "close": [1.5]}


def sources(file: dict[str, list[Any]], **options: Any) -> dict[str, str]:
    found = candle_columns(pl.DataFrame(PRICES | file), ReadOptions(**options))
    return {ours: theirs for ours, theirs in found.sources.items() if ours not in PRICES}


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"Date": ["2024-01-02"], "Time": ["09:30"]}, {"timestamp": "Date and Time"}),
        ({"date": ["2024-01-02"], "time": [1704187800]}, {"timestamp": "time"}),
        ({"date": ["2024-01-02 09:30"], "unix": [1704187800]}, {"timestamp": "unix"}),
        ({"": ["2024-01-02"], "volume": [1]}, {"timestamp": "", "volume": "volume"}),
        ({"t": [1], "tick_volume": [5], "real_volume": [0]}, {"timestamp": "t", "volume": "tick_volume"}),
        ({"t": [1], "tick_volume": [5], "real_volume": ["7"]}, {"timestamp": "t", "volume": "real_volume"}),
        (
            {"t": [1], "volume": [100], "turnover": [150.0]},
            {"timestamp": "t", "volume": "volume", "amount": "turnover"},
        ),
        ({"t": [1], "volume": [100], "turnover": ["0.02"]}, {"timestamp": "t", "volume": "volume"}),
        ({"t": [1], "amount": [5], "turnover": [6]}, {"timestamp": "t", "amount": "amount"}),
        ({"t": [1], "TS_Code": ["A"], "vol": [5]}, {"symbol": "TS_Code", "timestamp": "t", "volume": "vol"}),
    ],
)
def test_columns(columns: dict[str, list[Any]], found: dict[str, str]) -> None:
    assert sources(columns) == found


def test_the_user_s_word_comes_first_and_an_empty_name_is_none() -> None:
    file: dict[str, list[Any]] = {"date": ["2024-01-02"], "settled": ["2024-01-03"], "volume": [5]}
    assert sources(file, columns={"timestamp": "settled", "volume": ""}) == {"timestamp": "settled"}


def test_an_index_and_an_empty_column_are_not_worth_a_note() -> None:
    frame = pl.DataFrame({"": ["0"], "ts": [1], **PRICES, "_duplicated_0": [None], "colour": ["red"]})
    assert candle_columns(frame, ReadOptions()).notes == ("columns that are not used: colour",)


def test_a_name_may_say_that_times_are_utc() -> None:
    assert candle_columns(pl.DataFrame({"Gmt time": ["x"], **PRICES}), ReadOptions()).utc
    assert not candle_columns(pl.DataFrame({"time": ["x"], **PRICES}), ReadOptions()).utc
