"""Nothing published after the point in time shows, and the future schedule moves its own channels alone."""

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flows.events import EventRequest, Leaders
from market.event_channels import EVENT_CHANNELS, SCHEDULE_CHANNELS
from market.time_grid import candle_bounds
from tests.helpers.event_markets import Market, at, calendar_rows
from tests.helpers.event_results import array_of

REAL = settings(
    max_examples=30,
    deadline=None,
    # The market is read once and never changed.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
OTHERS = [channel for channel in range(20) if channel not in SCHEDULE_CHANNELS]
REQUESTS = [
    # A window reaches back 240 candles at most; before 2022-01-03 EURUSD has none for over a year.
    ("EURUSD", "1h", "2022-01-24T12:00", "2024-06-20T12:00"),
    ("BTC-USD", "1h", "2020-02-20T12:00", "2024-06-20T12:00"),
    ("SPY", "1h", "2023-01-10T12:00", "2024-06-20T12:00"),
    ("NVDA", "1d", "2018-07-10T12:00", "2024-06-20T12:00"),
    ("BTC-USD", "1d", "2018-07-10T12:00", "2024-06-20T12:00"),
]
TITLES = st.sampled_from(
    [
        "Federal Funds Rate",
        "CPI m/m",
        "Non-Farm Employment Change",
        "Advance GDP q/q",
        "Core PCE Price Index m/m",
    ]
)


Moment = tuple[str, str, np.datetime64]
Edit = tuple[list[tuple[str, int, bool]], str, int]


@st.composite
def moments(draw: st.DrawFn) -> Moment:
    """Draw a symbol, a timeframe and an instant from which to look."""
    symbol, timeframe, first, last = draw(st.sampled_from(REQUESTS))
    hours = int((np.datetime64(last) - np.datetime64(first)) / np.timedelta64(1, "h"))
    return symbol, timeframe, np.datetime64(first) + np.timedelta64(draw(st.integers(0, hours)), "h")


def request_close(request: EventRequest) -> np.datetime64:
    """Return t, the close of the last candle."""
    close: np.datetime64 = candle_bounds(request.instrument, request.timeframe, request.timestamps)[1][-1]
    return close


def point_in_time(request: EventRequest) -> datetime:
    """Return t as an aware instant."""
    return at(str(request_close(request)))


def near(market: Market, instant: datetime, years: int = 3) -> pl.DataFrame:
    """Return the part of the calendar that matters, so that an example takes milliseconds."""
    start, end = instant - timedelta(days=365 * years), instant + timedelta(days=400)
    return market.calendar.filter(pl.col("event_time").is_between(start, end))


@REAL
@given(moment=moments(), seed=st.integers(0, 2**32 - 1))
def test_values_published_after_the_point_in_time_change_nothing(
    market: Market, moment: Moment, seed: int
) -> None:
    request = market.request(*moment, lookback=200, pred_len=60)
    instant = point_in_time(request)
    rng = np.random.default_rng(seed)
    calendar = near(market, instant)
    later = pl.col("event_time") >= instant
    changed = calendar.with_columns(
        pl.when(later)
        .then(pl.Series(rng.choice([np.nan, 3.0, -50.0], len(calendar))))
        .otherwise(name)
        .alias(name)
        for name in ("actual", "forecast", "previous", "hawkish_score")
    )
    plain, other = (market.build(request, each) for each in (calendar, changed))
    np.testing.assert_array_equal(plain.array, other.array)
    assert plain.context == other.context


@REAL
@given(moment=moments(), seed=st.integers(0, 2**32 - 1))
def test_leader_candles_that_close_after_the_point_in_time_change_nothing(
    market: Market, moment: Moment, seed: int
) -> None:
    request = market.request(*moment, lookback=200, pred_len=60)
    instant = point_in_time(request)
    rng = np.random.default_rng(seed)
    changed = {}
    for timeframe, candles in market.leaders.candles.items():
        parts = []
        for leader in market.config.leaders.values():
            mine = candles.filter(pl.col("symbol") == leader.symbol)
            stamps = mine["ts"].dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")
            later = pl.Series(candle_bounds(leader, timeframe, stamps)[1] > request_close(request))
            noise = pl.Series(rng.lognormal(size=len(mine)))
            parts.append(mine.with_columns(pl.when(later).then(pl.col("close") * noise).otherwise("close")))
        changed[timeframe] = pl.concat(parts)
    calendar = near(market, instant)
    plain, other = market.build(request, calendar), market.build(request, calendar, Leaders(changed))
    np.testing.assert_array_equal(plain.array, other.array)


@settings(REAL, max_examples=15)
@given(moment=moments(), seed=st.integers(0, 2**32 - 1))
def test_what_never_came_or_was_withdrawn_later_was_there_before(
    market: Market, moment: Moment, seed: int
) -> None:
    request = market.request(*moment, lookback=200, pred_len=60)
    instant = point_in_time(request)
    rng = np.random.default_rng(seed)
    calendar = near(market, instant)
    lost, withdrawn = (pl.Series(rng.random(len(calendar)) < share) for share in (0.05, 0.3))
    later = pl.Series(rng.integers(1, 10**9, len(calendar))) * 1000 + int(instant.timestamp() * 1e6)
    calendar = calendar.with_columns(actual=pl.when(lost).then(None).otherwise("actual"))
    changed = calendar.with_columns(
        pl.when(withdrawn).then(later.cast(pl.Datetime("us", "UTC"))).alias("withdrawn_at"),
        actual=pl.when(pl.col("event_time") >= instant).then(None).otherwise("actual"),
    ).with_columns(
        # A withdrawn row has no figures.
        withdrawn_at=pl.when(pl.col("actual").is_null()).then("withdrawn_at")
    )
    request = replace(request, as_of=request_close(request))
    plain, other = market.build(request, calendar), market.build(request, changed)
    np.testing.assert_array_equal(plain.array, other.array)
    assert plain.context == other.context


@st.composite
def edits(draw: st.DrawFn) -> Edit:
    """Draw changes of the future schedule: hours from now of releases added, and what befalls those there."""
    added = draw(st.lists(st.tuples(TITLES, st.integers(0, 24 * 60), st.booleans()), max_size=6))
    return added, draw(st.sampled_from(["keep", "remove", "move"])), draw(st.integers(1, 24 * 20))


@REAL
@given(moment=moments(), edit=edits())
def test_the_future_schedule_moves_only_its_own_channels(market: Market, moment: Moment, edit: Edit) -> None:
    added, fate, hours = edit
    request = market.request(*moment, lookback=200, pred_len=60)
    instant = point_in_time(request)
    calendar = near(market, instant)
    later = pl.col("event_time") > instant
    if fate == "remove":
        changed = calendar.filter(~later)
    elif fate == "move":
        moved = pl.when(later).then(pl.col("event_time") + timedelta(hours=hours)).otherwise("event_time")
        changed = calendar.with_columns(moved.alias("event_time"))
    else:
        changed = calendar
    rows = [
        {"event_time": (instant + timedelta(hours=after, minutes=1)).replace(tzinfo=None), "title": title}
        | {"time_known": timed}
        for title, after, timed in added
    ]
    changed = pl.concat([changed, calendar_rows(*rows)], how="diagonal")
    plain, other = array_of(market.build(request, calendar)), array_of(market.build(request, changed))
    np.testing.assert_array_equal(plain[:, OTHERS], other[:, OTHERS])
    moved_channels = np.flatnonzero((plain != other).any(axis=0))
    assert set(moved_channels) <= {*range(5), *range(8, 14)}


@REAL
@given(moment=moments(), hours=st.integers(0, 24 * 40), title=TITLES)
def test_an_unscheduled_release_after_the_point_in_time_changes_nothing(
    market: Market, moment: Moment, hours: int, title: str
) -> None:
    request = market.request(*moment, lookback=200, pred_len=60)
    instant = point_in_time(request)
    calendar = near(market, instant)
    row = {"event_time": (instant + timedelta(hours=hours, minutes=1)).replace(tzinfo=None), "title": title}
    surprise = calendar_rows(row | {"scheduled": False, "actual": 3.0, "forecast": 1.0})
    plain, other = (
        market.build(request, calendar),
        market.build(request, pl.concat([calendar, surprise], how="diagonal")),
    )
    np.testing.assert_array_equal(plain.array, other.array)
    assert plain.context == other.context


@REAL
@given(moment=moments(), steps=st.integers(1, 40))
@example(moment=("EURUSD", "1h", np.datetime64("2023-04-04T13:00")), steps=1)  # the data has a hole there
def test_history_rows_stay_what_they_were_as_time_goes_on(market: Market, moment: Moment, steps: int) -> None:
    symbol, timeframe, instant = moment
    later = market.request(symbol, timeframe, instant, lookback=200, pred_len=0)
    earlier = market.request(
        symbol, timeframe, later.timestamps[-steps - 1] + np.timedelta64(0, "us"), lookback=200, pred_len=0
    )
    both = np.isin(later.timestamps, earlier.timestamps), np.isin(earlier.timestamps, later.timestamps)
    calendar = near(market, point_in_time(later))
    then, now = (
        array_of(market.build(earlier, calendar))[both[1]],
        array_of(market.build(later, calendar))[both[0]],
    )
    # But for an unscheduled decision, none of which falls on candles that both know, and for a window's first
    # row: the candle before it is the calendar's, which the data may lack.
    np.testing.assert_array_equal(then[1:], now[1:])


def test_the_properties_look_at_rows_with_something_on_them(market: Market) -> None:
    seen = np.zeros(20, dtype=bool)
    for symbol, timeframe, _, last in REQUESTS:
        seen |= array_of(market.build(market.request(symbol, timeframe, last))).any(axis=0)
    silent = [name for name, found in zip(EVENT_CHANNELS, seen, strict=True) if not found]
    assert silent == ["reserved_18", "reserved_19"]


def test_a_change_before_the_point_in_time_is_seen(market: Market) -> None:
    request = market.request("EURUSD", "1h", "2022-06-15T12:00")
    changed = market.calendar.with_columns(
        pl.when(pl.col("event_time") == at("2022-06-10T12:30")).then(0.7).otherwise("actual").alias("actual")
    )
    assert market.rows(request, changed)["cpi_surprise_z"] == {}
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(market.build(request, changed).array, market.build(request).array)


def test_a_later_time_on_the_day_of_a_release_hides_no_figures_that_are_out(market: Market) -> None:
    """A schedule row without figures may move the flag; what was public stays."""
    request = market.request("BTC-USD", "1h", "2024-06-12T14:00", lookback=100, pred_len=12)
    row = {"event_time": "2024-06-12T17:00", "title": "CPI m/m"}
    calendar = near(market, at("2024-06-12T14:00"))
    shape = calendar.columns
    changed = pl.concat([calendar, calendar_rows(row).select(shape)])
    plain, other = market.build(request, calendar), market.build(request, changed)
    np.testing.assert_array_equal(array_of(plain)[:, OTHERS], array_of(other)[:, OTHERS])
    assert (array_of(plain)[:, 5] != 0).any()
