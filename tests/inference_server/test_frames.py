"""Frames of candles as they are read, and what a frame that can't be read is refused with."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_server.frame_libraries import FrameError
from tests.helpers.candle_frames import NEW_YORK, START, columns, read


def polars(**changed: Any) -> pl.DataFrame:
    return pl.DataFrame({name: value for name, value in (columns(5) | changed).items() if value is not None})


REFUSED: dict[str, tuple[Callable[[], Any], str | None, str]] = {
    "no time": (
        lambda: polars(timestamp=None, when=range(5)),
        "A",
        r"columns missing: timestamp; found: open, high, low, close, volume, when; expected timestamp \(or",
    ),
    "no close": (lambda: polars(close=None), "A", r"columns missing: close; found: timestamp, open"),
    "a range index": (lambda: pd.DataFrame(columns(5)).drop(columns="timestamp"), "A", r"missing: timestamp"),
    "two times": (lambda: polars(ts=range(5)), "A", r"timestamp and ts both hold time stamps"),
    "two cases": (lambda: polars(Close=range(5)), "A", r"the columns close and Close have one name"),
    "twice in pandas": (
        lambda: pd.concat([pd.DataFrame(columns(5))] * 2, axis=1),
        "A",
        r"the columns timestamp and timestamp have one name",
    ),
    "no symbol": (polars, None, r"give symbol=…, or a column symbol"),
    "symbol twice": (lambda: polars(symbol=["A"] * 5), "A", r"symbol='A' is given as well"),
    "null symbol": (lambda: polars(symbol=["A", None, "A", "A", "A"]), None, r"symbol is None in row 1"),
    "number as symbol": (lambda: polars(symbol=[600519] * 5), None, r"symbol is 600519 in row 0"),
    "newest first": (
        lambda: polars().reverse(), "A",
        r"of A don't increase: 2026-01-05T03:00:00.000000 in row 1 .*sort the frame by time, oldest first",
    ),
    "a repeated row": (
        lambda: pl.concat([polars(symbol=["A"] * 5), polars(symbol=["B"] * 5)[[0, 1, 1]]]),
        None,
        r"of B don't increase: 2026-01-05T01:00:00.000000 in row 7",
    ),
    "a null price": (lambda: polars(low=[1, 2, None, 4, 5]), "A", r"low is nan in row 2 \(2026-01-05T02:00"),
    "infinite volume": (lambda: polars(volume=[1.0, 2.0, 3.0, 4.0, np.inf]), "A", r"volume is inf in row 4"),
    "prices as text": (lambda: polars(open=["1.5"] * 5), "A", r"open is '1.5' in row 0, no number"),
    "prices as truths": (lambda: polars(open=[True] * 5), "A", r"open is True in row 0, no number"),
    "times as prices": (lambda: polars(open=columns(5)["timestamp"]), "A", r"open holds time stamps"),
    "a null time": (
        lambda: polars(timestamp=[*columns(4)["timestamp"], None]), "A", r"timestamp is .*NaT.* in row 4",
    ),
    "unreadable times": (lambda: polars(timestamp=["soon"] * 5), "A", r"timestamp is 'soon' in row 0"),
    "numbers that are no times": (lambda: polars(timestamp=range(5)), "A", r"timestamp is .*0.* in row 0"),
    "no rows": (lambda: polars()[:0], "A", r"the frame has no rows"),
    "lazy": (lambda: polars().lazy(), "A", r"LazyFrame given; .*collect\(\) it first"),
    "a list": (lambda: [1, 2], "A", r"a builtins.list given; expected a DataFrame of Polars or pandas"),
    "two dimensions": (lambda: columns(5) | {"open": np.zeros((5, 2))}, "A", r"open has shape \(5, 2\)"),
    "other lengths": (lambda: columns(5) | {"open": [1.0] * 4}, "A", r"timestamp has 5 values and {'open'"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_frame_that_is_refused(case: str) -> None:
    frame, symbol, message = REFUSED[case]
    with pytest.raises(FrameError, match=message):
        read(frame(), symbol)


SAME_TIMES: dict[str, Callable[[list[datetime]], Any]] = {
    "text": lambda times: [moment.isoformat(" ") for moment in times],
    "with a zone": lambda times: [m.replace(tzinfo=UTC).astimezone(NEW_YORK) for m in times],
    "seconds": lambda times: [int(moment.replace(tzinfo=UTC).timestamp()) for moment in times],
    "milliseconds": lambda times: [int(moment.replace(tzinfo=UTC).timestamp() * 1000) for moment in times],
    "seconds as floats": lambda times: [moment.replace(tzinfo=UTC).timestamp() for moment in times],
    "nanoseconds": lambda times: np.array(times, "datetime64[ns]").astype(np.int64),
}


@pytest.mark.parametrize("kind", SAME_TIMES)
@pytest.mark.parametrize("build", [pl.DataFrame, pd.DataFrame, dict])
def test_every_way_to_write_a_time(kind: str, build: Callable[[Any], Any]) -> None:
    (candles,) = read(build(columns(5) | {"timestamp": SAME_TIMES[kind](columns(5)["timestamp"])})).values()
    assert candles.timestamp == [f"2026-01-05T0{hour}:00:00Z" for hour in range(5)]


@pytest.mark.parametrize("build", [pl.DataFrame, pd.DataFrame, dict])
def test_dates_of_before_unix_times_began_and_fractions_of_a_second(build: Callable[[Any], Any]) -> None:
    days = [date(1969, 12, 30) + timedelta(days=day) for day in range(5)]
    (candles,) = read(build(columns(5) | {"timestamp": days}), timeframe="1d").values()
    assert candles.timestamp[::2] == ["1969-12-30T00:00:00Z", "1970-01-01T00:00:00Z", "1970-01-03T00:00:00Z"]
    odd = columns(5, start=START + timedelta(microseconds=7))
    (candles,) = read(build(odd)).values()
    assert candles.timestamp[0] == "2026-01-05T00:00:00.000007Z"


@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame(columns(5)).cast({"volume": pl.Int32, "close": pl.Decimal(10, 4)}),
        pd.DataFrame(columns(5)).astype({"volume": "int32", "close": "Float32"}),
        pd.DataFrame(columns(5)).convert_dtypes(),
        columns(5) | {"close": [Decimal("1.5"), 2, np.float32(3), 4.0, 5]},
    ],
    ids=["polars", "pandas", "nullable", "mapping"],
)  # fmt: skip
def test_numbers_of_every_type(frame: Any) -> None:
    (candles,) = read(frame).values()
    assert all(type(value) is float for value in [*candles.close, *(candles.volume or [])])
    assert candles.close == pytest.approx(np.asarray(frame["close"]).astype(float).tolist())


def test_a_missing_value_of_pandas_nullable_types() -> None:
    frame = pd.DataFrame(columns(5)).convert_dtypes()
    frame.loc[2, "volume"] = pd.NA
    (candles,) = read(frame).values()
    assert candles.volume is not None
    assert candles.volume[2] is None
    frame.loc[1, "close"] = pd.NA
    with pytest.raises(FrameError, match="close is nan in row 1"):
        read(frame)


@given(
    counts=st.lists(st.integers(1, 8), min_size=1, max_size=4),
    order=st.randoms(use_true_random=False),
    build=st.sampled_from([pl.DataFrame, pd.DataFrame, dict]),
)
def test_interleaved_symbols_come_apart_as_they_were(
    counts: list[int], order: random.Random, build: Callable[[Any], Any]
) -> None:
    rows = [(f"S{place}", row) for place, count in enumerate(counts) for row in range(count)]
    # Any order across symbols that keeps each symbol's own.
    mixed = [symbol for symbol, _ in order.sample(rows, len(rows))]
    place_of: Counter[str] = Counter()
    picked: list[int] = []
    for symbol in mixed:
        picked.append(place_of[symbol])
        place_of[symbol] += 1
    whole = columns(8)
    frame = {name: [values[row] for row in picked] for name, values in whole.items()} | {"symbol": mixed}
    frame["close"] = [1000.0 * int(symbol[1:]) + row for symbol, row in zip(mixed, picked, strict=True)]
    candles = read(build(frame), None)
    assert list(candles) == list(dict.fromkeys(mixed))
    for symbol, one in candles.items():
        count = counts[int(symbol[1:])]
        assert one.close == [1000.0 * int(symbol[1:]) + row for row in range(count)]
        assert one.timestamp == [f"2026-01-05T0{row}:00:00Z" for row in range(count)]
        assert one.volume == list(whole["volume"][:count])
