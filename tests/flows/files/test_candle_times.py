"""Quotes behind the last candle of a symbol."""

from datetime import datetime, timedelta

import polars as pl
import pytest

from flows.files.candle_times import half_finished

START = datetime(2024, 1, 2, 9, 30)
HOURS = [START + timedelta(days=day, hours=hour) for day in range(2) for hour in range(7)]
DAYS = [datetime(2024, 1, day) for day in range(2, 6)]


@pytest.mark.parametrize(
    ("times", "timeframe", "left_out"),
    [
        ([*HOURS, HOURS[-1] + timedelta(minutes=17)], "1h", 1),
        ([*HOURS, *[HOURS[-1] + timedelta(minutes=30)] * 2], "1h", 2),
        ([*HOURS, HOURS[-1] + timedelta(hours=1)], "1h", 0),
        ([*HOURS, HOURS[0] + timedelta(days=2)], "1h", 0),
        ([HOURS[0], HOURS[0] + timedelta(minutes=17)], "1h", 0),
        ([*DAYS, datetime(2024, 1, 8, 15, 31)], "1d", 1),
        ([*DAYS, datetime(2024, 1, 8)], "1d", 0),
        ([*DAYS, datetime(2024, 1, 7, 12), datetime(2024, 1, 8, 15, 31)], "1d", 0),
    ],
)
@pytest.mark.parametrize("newest_first", [False, True])
def test_quotes_at_the_end(times: list[datetime], timeframe: str, left_out: int, newest_first: bool) -> None:
    stamps = pl.Series(times[::-1] if newest_first else times)
    found = half_finished(stamps, pl.Series(["A"] * len(stamps)), timeframe)
    assert found.to_list() == [stamp in times[len(times) - left_out :] and left_out > 0 for stamp in stamps]


def test_each_symbol_has_its_own_last_candle() -> None:
    stamps = pl.Series([*HOURS, HOURS[-1] + timedelta(minutes=17), *HOURS])
    symbols = pl.Series(["A"] * 15 + ["B"] * 14)
    assert half_finished(stamps, symbols, "1h").arg_true().to_list() == [14]
