"""Aggregated candles against a plain loop, and the rules for sessions and for what has not finished."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.aggregation import aggregate, aggregate_each
from market.instruments import Instrument
from market.time_grid import candle_bounds, future_timestamps, past_timestamps
from market.timeframes import TIMEFRAMES
from market.types import DatetimeArray, Float64Array
from tests.helpers.random_candles import instrument, random_candles

CALENDARS = ("24/7", "FX", "METAL", "XNYS", "XSHG", "XHKG", "XTKS", "XLON", "XASX", "CMES", "FX:XNYS")


def by_loop(
    traded: Instrument, timeframe: str, source: str, stamps: DatetimeArray, features: Float64Array
) -> dict[np.datetime64, list[float]]:
    """Every coarse candle with a finer one, one at a time, from the coarse candles of the calendar."""
    opens, closes = candle_bounds(traded, source, stamps)
    found: dict[np.datetime64, list[float]] = {}
    stamp = past_timestamps(traded, timeframe, stamps[0], 3)[0]
    while True:
        (begin,), (end,) = candle_bounds(traded, timeframe, np.array([stamp]))
        if begin >= closes[-1]:
            return found
        inside = [row for row in range(len(stamps)) if opens[row] < end and closes[row] > begin]
        if inside:
            rows = features[inside]
            found[stamp] = [
                rows[0][0], max(rows[:, 1]), min(rows[:, 2]), rows[-1][3],
                math.fsum(rows[:, 4]), math.fsum(rows[:, 5]),
            ]  # fmt: skip
        stamp = future_timestamps(traded, timeframe, stamp, 1)[0]


@settings(deadline=None, max_examples=60)
@given(
    calendar=st.sampled_from(CALENDARS),
    pair=st.sampled_from([*itertools.pairwise(TIMEFRAMES), ("1h", "1d"), ("5m", "1h"), ("1h", "1w")]),
    hour=st.integers(0, 5 * 365 * 24),
    count=st.integers(1, 60),
    dropped=st.sets(st.integers(0, 59), max_size=20),
)
def test_candles_are_those_of_a_plain_loop(
    calendar: str, pair: tuple[str, str], hour: int, count: int, dropped: set[int]
) -> None:
    source, timeframe = pair
    traded = instrument(calendar)
    first = np.datetime64("2020-06-01", "us") + np.timedelta64(hour, "h")
    stamps = np.delete(
        future_timestamps(traded, source, first, count), [row for row in dropped if row < count]
    )
    features = random_candles(len(stamps), hour)
    found = aggregate(traded, timeframe, source, stamps, features)
    if not len(stamps):
        assert not len(found.timestamps)
        return
    expected = by_loop(traded, timeframe, source, stamps, features)
    # The first and the last may be left out: the history may begin within one, and the other be open.
    times = list(expected)
    inner = slice(1, -1)
    assert set(times[inner]) <= set(found.timestamps) <= set(times)
    _, closes = candle_bounds(traded, timeframe, found.timestamps)
    _, known = candle_bounds(traded, source, stamps)
    assert not len(closes) or closes[-1] <= known[-1]  # every part of it is there
    for stamp, values in zip(found.timestamps, found.features, strict=True):
        np.testing.assert_allclose(values, expected[stamp], rtol=1e-12)


@settings(deadline=None, max_examples=30)
@given(calendar=st.sampled_from(CALENDARS), cut=st.integers(1, 199), hour=st.integers(0, 20_000))
def test_what_comes_later_changes_no_finished_candle(calendar: str, cut: int, hour: int) -> None:
    traded = instrument(calendar)
    first = np.datetime64("2022-06-01", "us") + np.timedelta64(hour, "h")
    stamps, features = future_timestamps(traded, "30m", first, 200), random_candles(200)
    whole = aggregate(traded, "4h", "30m", stamps, features)
    part = aggregate(traded, "4h", "30m", stamps[:cut], features[:cut])
    count = len(part.timestamps)
    np.testing.assert_array_equal(part.timestamps, whole.timestamps[:count])
    np.testing.assert_array_equal(part.features, whole.features[:count])
    if count:
        assert (
            candle_bounds(traded, "4h", part.timestamps[-1:])[1][0]
            <= candle_bounds(traded, "30m", stamps[cut - 1 : cut])[1][0]
        )


@pytest.mark.parametrize(
    ("calendar", "source", "timeframe", "first", "count", "expected"),
    [
        # The four-hour candle of a share does not run over the night, and that of Shanghai not over lunch.
        ("XNYS", "1h", "4h", "2024-06-13T13:00", 7, ["2024-06-13T13:30", "2024-06-13T17:30"]),
        ("XSHG", "30m", "4h", "2024-06-13T00:00", 8, ["2024-06-13T01:30", "2024-06-13T05:00"]),
        # A half day, and the week that it ends: Thanksgiving.
        ("XNYS", "1h", "1d", "2024-11-27T12:00", 11, ["2024-11-27T00:00", "2024-11-29T00:00"]),
        ("XNYS", "1d", "1w", "2024-11-24", 4, ["2024-11-25T00:00"]),
        ("XNYS", "1h", "1w", "2024-11-24", 25, ["2024-11-25T00:00"]),
        # Sessions over midnight in UTC: of futures, until noon in Chicago on the second day, and of Sydney.
        ("CMES", "1h", "1d", "2026-06-17T21:30", 42, ["2026-06-18T00:00", "2026-06-19T00:00"]),
        ("CMES", "1h", "4h", "2026-06-19T13:30", 3, ["2026-06-19T14:00"]),
        ("CMES", "1d", "1w", "2026-06-14", 5, ["2026-06-15T00:00"]),
        ("XASX", "30m", "1d", "2026-01-26T22:30", 24, ["2026-01-27T00:00", "2026-01-28T00:00"]),
        ("XASX", "1h", "1w", "2026-01-26T22:30", 24, ["2026-01-26T00:00"]),
        # A leap day, and the New York day of FX over the change of clocks.
        ("24/7", "4h", "1d", "2024-02-28T23:00", 12, ["2024-02-29T00:00", "2024-03-01T00:00"]),
        ("FX", "1h", "1d", "2024-03-07T21:30", 48, ["2024-03-08T00:00", "2024-03-11T00:00"]),
        ("FX", "1d", "1w", "2024-03-03", 5, ["2024-03-04T00:00"]),
    ],
)  # fmt: skip
def test_candles_follow_the_sessions(
    calendar: str, source: str, timeframe: str, first: str, count: int, expected: list[str]
) -> None:
    traded = instrument(calendar)
    stamps = future_timestamps(traded, source, np.datetime64(first), count)
    found = aggregate(traded, timeframe, source, stamps, random_candles(count))
    assert [str(stamp)[:16] for stamp in found.timestamps] == expected
    assert found.missing.counts.tolist() == [0] * len(expected)


def test_what_is_missing_is_counted_and_an_unknown_volume_stays_unknown() -> None:
    traded = instrument("24/7")
    stamps = future_timestamps(traded, "1h", np.datetime64("2024-06-12T23:30"), 12)
    features = random_candles(12)
    features[5, 4:] = np.nan
    kept = np.delete(np.arange(12), [6, 9])
    found = aggregate(traded, "4h", "1h", stamps[kept], features[kept])
    assert found.missing.counts.tolist() == [0, 1, 1]
    (text,) = found.missing.warnings()
    assert text.startswith(
        "incomplete-candles: 2 of 3 4h candles, aggregated from 1h, lack parts: 2 1h candles are missing"
    )
    assert found.last(1).missing.warnings()[0].startswith("incomplete-candles: 1 of 1 4h candles")
    assert found.keep(slice(1)).missing.warnings() == []
    whole = Instrument("X", "crypto", "24/7", only_whole_candles=True)
    assert aggregate(whole, "4h", "1h", stamps[kept], features[kept]).missing.counts.tolist() == [0]
    assert np.isnan(found.features[:, 4]).tolist() == [False, True, False]
    assert np.isfinite(found.features[:, :4]).all()


def test_an_open_candle_is_not_used_until_its_last_part_or_a_later_one_is_there() -> None:
    traded = instrument("24/7")
    stamps = future_timestamps(traded, "1h", np.datetime64("2024-06-12T23:30"), 9)
    features = random_candles(9)

    def hours(*rows: int) -> list[str]:
        chosen = list(rows)
        found = aggregate(traded, "4h", "1h", stamps[chosen], features[chosen])
        return [str(stamp)[11:13] for stamp in found.timestamps]

    assert hours(0, 1, 2, 3, 4, 5, 6) == ["00"]  # the candle from 04:00 lacks its last part
    assert hours(0, 1, 2, 3, 4, 5, 6, 7) == ["00", "04"]
    assert hours(0, 1, 2, 3, 4, 5, 6, 8) == ["00", "04"]  # that part is not coming any more
    assert hours(1, 2, 3, 4, 5, 6, 7) == ["04"]  # the history begins within the candle from 00:00


def test_a_finer_candle_that_reaches_beyond_a_coarse_one_leaves_that_one_out() -> None:
    traded = instrument("24/7")
    stamps = np.datetime64("2024-06-13T00:30", "us") + np.arange(12) * np.timedelta64(1, "h")
    assert not len(aggregate(traded, "4h", "1h", stamps, random_candles(12)).timestamps)
    assert len(aggregate(traded, "4h", "30m", stamps, random_candles(12)).timestamps)


def test_candles_outside_of_the_sessions_belong_to_none() -> None:
    share = instrument("XNYS")
    session = future_timestamps(share, "30m", np.datetime64("2024-06-13T13:00"), 13)
    before = session[0] - np.arange(4, 0, -1) * np.timedelta64(30, "m")
    after = session[-1] + np.arange(1, 5) * np.timedelta64(30, "m")
    stamps, features = np.concatenate([before, session, after]), random_candles(21)
    found = aggregate(share, "1d", "30m", stamps, features)
    np.testing.assert_array_equal(
        found.features, aggregate(share, "1d", "30m", session, features[4:17]).features
    )


def test_an_anchor_moves_the_candles() -> None:
    traded = instrument("FX", anchor="00:00 UTC")
    stamps = future_timestamps(traded, "1h", np.datetime64("2024-06-12T23:30"), 8)
    found = aggregate(traded, "4h", "1h", stamps, random_candles(8))
    assert [str(stamp)[11:16] for stamp in found.timestamps] == ["00:00", "04:00"]


def test_symbols_that_cannot_be_aggregated_are_named_and_the_others_are_there() -> None:
    instruments = {"A": instrument("24/7"), "B": instrument("NOWHERE"), "C": instrument("24/7")}
    stamps = future_timestamps(instruments["A"], "1h", np.datetime64("2024-06-12T23:30"), 12)
    finer = dict.fromkeys("AB", (stamps, random_candles(12))) | {"C": (stamps[:2], random_candles(2))}
    found, refused = aggregate_each(instruments, "4h", "1h", finer, np.datetime64("2024-06-13T09"), 1)
    assert {symbol: str(each.timestamps) for symbol, each in found.items()} == {
        "A": "['2024-06-13T04:00:00.000000']"
    }
    assert list(refused) == ["B"]
