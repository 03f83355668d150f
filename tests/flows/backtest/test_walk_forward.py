"""Walking over a past period: the requests and their candles, and the windows that are left out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from flows.backtest.baselines import BASELINES, PERSISTENCE, RANDOM_WALK
from flows.backtest.history import HistoryError, MarketHistory
from flows.backtest.scored import Scored, name_without_events
from flows.backtest.walk_forward import CONSTANT, NOT_POSITIVE, WalkResult, made_at_instants, walk
from flows.events import Leaders
from flows.events.source import EventSources
from flows.files import feeds
from flows.forecasting.forecasts import Order, SamplingSettings, build_request
from flows.generated.market import generate_market
from flows.runtime.table_columns import CANDLES
from inference_server.schemas import PredictAnswer
from market.instruments import default_instruments
from tests.helpers.stand_in_server import MODEL, answer_of

END = datetime(2025, 6, 18, 12, tzinfo=UTC)
SAMPLING = SamplingSettings("1h", 4, 3, 1.0, 1.0, 0, None)
SYMBOLS = ("BTC-USD", "EURUSD", "SPY")


@cache
def history() -> MarketHistory:
    market = generate_market(end=END, days=60, hours=400)
    candles = feeds.candles(market.candles_1h, "1h")
    sources = EventSources(feeds.calendar(market.calendar), pl.DataFrame(), Leaders({"1h": candles}))
    return MarketHistory(
        candles.filter(pl.col("symbol").is_in(SYMBOLS)),
        {symbol: default_instruments()[symbol] for symbol in SYMBOLS},
        sources,
    )


class RecordingAsk:
    """Answers as the stand-in server does and keeps the orders."""

    def __init__(self) -> None:
        self.orders: list[Order] = []

    def __call__(self, order: Order) -> PredictAnswer:
        self.orders.append(order)
        return answer_of(build_request(order))


def walked(
    past: MarketHistory, start: datetime, end: datetime, every: int = 4, **options: object
) -> tuple[WalkResult, RecordingAsk]:
    ask, result = RecordingAsk(), WalkResult()
    instants = made_at_instants(start, end, "1h", every)
    for step in walk(past, MODEL, ask, SAMPLING, 48, instants, **options):  # type: ignore[arg-type]
        result.add(step)
    return result, ask


START = END - timedelta(days=2)


def test_a_model_that_changes_during_the_walk_is_refused() -> None:
    orders: list[Order] = []

    def ask(order: Order) -> PredictAnswer:
        orders.append(order)
        other = msgspec.structs.replace(MODEL, version="v2")
        return answer_of(build_request(order), other if len(orders) > 3 else MODEL)

    instants = made_at_instants(START, END - timedelta(hours=8), "1h", 4)
    with pytest.raises(HistoryError, match="the server went on from stand-in v1 to v2"):
        list(walk(history(), MODEL, ask, SAMPLING, 48, instants))


def test_instants_go_from_start_to_end() -> None:
    assert made_at_instants(START, START + timedelta(hours=9), "1h", 4) == [
        START + timedelta(hours=hours) for hours in (0, 4, 8)
    ]
    assert made_at_instants(START, START, "1d", 5) == [START]


def test_a_forecast_is_made_from_closed_candles_and_scored_by_later_ones() -> None:
    result, ask = walked(history(), START, END - timedelta(hours=8))
    assert {order.symbol for order in ask.orders} == set(SYMBOLS)
    closes = {(row["symbol"], row["ts"]): row["close"] for row in history().candles.to_dicts()}
    for forecast in result.scored:
        assert forecast.as_of + timedelta(hours=1) <= forecast.made_at or forecast.symbol == "SPY"
        assert forecast.matured_at > forecast.made_at
        expected = [
            closes.get((forecast.symbol, time.replace(tzinfo=UTC))) for time in forecast.timestamps.tolist()
        ]
        np.testing.assert_equal(forecast.scores.actual, np.array(expected, dtype=np.float64))
        assert forecast.last_close == closes[forecast.symbol, forecast.as_of]
    assert not result.without_events


def test_each_forecast_is_followed_by_the_baselines_of_its_window() -> None:
    result, _ = walked(history(), START, START)
    parts = [result.scored[number : number + 4] for number in range(0, len(result.scored), 4)]
    assert len(parts) == 3
    for forecast, *baselines in parts:
        assert [each.model for each in (forecast, *baselines)] == ["stand-in", *BASELINES]
        assert np.isfinite(forecast.scores.crps).all()
        for baseline in baselines:
            assert (forecast.symbol, forecast.as_of) == (baseline.symbol, baseline.as_of)
            np.testing.assert_allclose(baseline.quantiles[1], forecast.last_close)
            assert np.isfinite(baseline.scores.crps).all()
            assert np.isnan(baseline.scores.direction_hit).all()
        point = baselines[BASELINES.index(PERSISTENCE)]
        np.testing.assert_allclose(point.scores.crps, point.scores.abs_error)


def test_each_forecast_with_events_is_made_again_without_from_the_same_seed() -> None:
    result, ask = walked(history(), START, START, compare_events=True)
    by_symbol = {
        symbol: [order for order in ask.orders if order.symbol == symbol]
        for symbol in {order.symbol for order in ask.orders}
    }
    for symbol, (one, other) in by_symbol.items():
        first, second = (one, other) if one.events is not None else (other, one)
        assert first.events is not None
        assert second.events is None
        seeds = {build_request(order).seed for order in (first, second)}
        assert len(seeds) == 1
        (twin,) = (
            each
            for each in result.scored
            if each.symbol == symbol and each.model == name_without_events("stand-in")
        )
        (made,) = (each for each in result.scored if each.symbol == symbol and each.model == "stand-in")
        assert twin.events is made.events
        assert twin.events_active == made.events_active
    assert len(by_symbol) == 3


def test_nothing_is_made_twice_where_there_are_no_events() -> None:
    past = replace(history(), sources=None)
    result, ask = walked(past, START, START, compare_events=True)
    assert len(ask.orders) == 3
    assert name_without_events("stand-in") not in {each.model for each in result.scored}


def requests(ask: RecordingAsk) -> list[bytes]:
    parts = [
        (order.symbol, order.window.as_of, msgspec.json.encode(build_request(order)), order.events)
        for order in ask.orders
    ]
    return [
        body + (b"" if events is None else events.tobytes())
        for *_, body, events in sorted(parts, key=lambda part: part[:2])
    ]


def test_later_candles_and_figures_change_no_request() -> None:
    _, before = walked(history(), START, START)
    future = pl.col("ts") > START - timedelta(hours=1)
    changed = [
        pl.when(future).then(pl.col(name) * 1.5).otherwise(pl.col(name)).alias(name)
        for name in ("open", "high", "low", "close")
    ]
    sources = history().sources
    assert sources is not None
    later = pl.col("event_time") > START
    calendar = sources.calendar.with_columns(actual=pl.when(later).then(99.0).otherwise("actual"))
    leaders = Leaders({"1h": sources.leaders.candles["1h"].with_columns(changed)})
    past = MarketHistory(
        history().candles.with_columns(changed),
        history().instruments,
        EventSources(calendar, sources.rates, leaders),
    )
    _, after = walked(past, START, START)
    assert len(before.orders) == 3
    assert requests(after) == requests(before)


def test_a_shut_market_is_forecast_once() -> None:
    saturday = datetime(2025, 6, 14, 1, tzinfo=UTC)
    _, ask = walked(history(), saturday, saturday + timedelta(hours=20))
    times = {name: [o.window.as_of for o in ask.orders if o.symbol == name] for name in SYMBOLS}
    assert len(times["BTC-USD"]) == 6
    assert len(times["EURUSD"]) == len(times["SPY"]) == 1


def test_candles_on_the_clock_hour_are_forecast_and_scored_there() -> None:
    clock = pl.when(symbol="SPY").then(pl.col("ts").dt.offset_by("-30m")).otherwise("ts")
    past = replace(history(), candles=history().candles.with_columns(ts=clock))
    result, _ = walked(past, START, START)
    (spy,) = (
        forecast for forecast in result.scored if forecast.symbol == "SPY" and forecast.model == "stand-in"
    )
    assert {stamp.minute for stamp in spy.timestamps.tolist()} == {0}
    assert np.isfinite(spy.scores.actual).all()


def without(*spans: tuple[datetime, datetime]) -> MarketHistory:
    kept = history().candles
    for start, end in spans:
        kept = kept.filter((pl.col("symbol") != "BTC-USD") | ~pl.col("ts").is_between(start, end))
    return replace(history(), candles=kept)


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [
        (START - 26 * HOUR, START, "the feed had stopped"),
        (START, START + 30 * HOUR, "no candle of the horizon is there"),
        (START - 9999 * HOUR, START - 20 * HOUR, "too few candles before it"),
    ],
)
def test_windows_with_holes_are_left_out_and_counted(start: datetime, end: datetime, reason: str) -> None:
    result, _ = walked(without((start, end)), START, START)
    assert {forecast.symbol for forecast in result.scored} == {"EURUSD", "SPY"}
    assert +result.skipped == {reason: 1}


def trained_until(last: datetime) -> Any:
    span = {"first": "2020-01-01T00:00:00", "last": last.replace(tzinfo=None).isoformat()}
    return msgspec.structs.replace(MODEL, manifest={"training_span": span})


@pytest.mark.parametrize(
    ("last", "forecast"),
    [
        (START - 5 * HOUR, True),  # the last candle used opens an hour before the instant, and 4 are forecast
        (START - 4 * HOUR, False),
        (START + 9999 * HOUR, False),
    ],
)
def test_windows_begin_after_the_training_span_and_a_gap_of_a_horizon(last: datetime, forecast: bool) -> None:
    ask = RecordingAsk()
    only = replace(
        history(),
        candles=history().candles.filter(symbol="BTC-USD"),
        instruments={"BTC-USD": history().instruments["BTC-USD"]},
    )
    (step,) = walk(only, trained_until(last), ask, SAMPLING, 48, [START])
    assert bool(ask.orders) == forecast
    if not forecast:
        ((symbol, reason),) = step.left_out
        assert symbol == "BTC-USD"
        assert reason.startswith("not after the model's training (2020-01-01 to ")


def lowered(symbol: str, by: float, *, allow_nonpositive: bool) -> MarketHistory:
    """The history with every price of a symbol lowered."""
    prices = [
        pl.when(pl.col("symbol") == symbol).then(pl.col(name) - by).otherwise(name).alias(name)
        for name in ("open", "high", "low", "close")
    ]
    instruments = history().instruments
    changed = {symbol: replace(instruments[symbol], allow_nonpositive=allow_nonpositive)}
    return replace(
        history(), candles=history().candles.with_columns(prices), instruments=instruments | changed
    )


def test_a_price_without_returns_leaves_the_window_out() -> None:
    result, _ = walked(lowered("SPY", 9999.0, allow_nonpositive=False), START, START)
    assert {each.symbol for each in result.scored} == {"BTC-USD", "EURUSD"}
    ((symbol, reason),) = result.left_out
    assert symbol == "SPY"
    assert reason == NOT_POSITIVE


def test_a_price_that_may_be_negative_is_forecast_and_scored_by_its_differences() -> None:
    result, ask = walked(lowered("SPY", 9999.0, allow_nonpositive=True), START, START)
    assert not result.left_out
    closes = next(order.window.columns["close"] for order in ask.orders if order.symbol == "SPY")
    spy = {each.model: each for each in result.scored if each.symbol == "SPY"}
    assert set(spy) == {MODEL.name, *BASELINES}
    for each in spy.values():
        assert each.differences
        assert each.volatility == pytest.approx(np.sqrt(np.mean(np.diff(closes) ** 2)))
        assert np.isfinite(each.scores.crps).all()
    assert (closes < 0).all()
    assert (spy[RANDOM_WALK].quantiles[0] < spy[RANDOM_WALK].last_close).all()
    assert not any(each.differences for each in result.scored if each.symbol != "SPY")


def test_a_window_of_equal_closes_is_left_out() -> None:
    flat = [
        pl.when(pl.col("symbol") == "SPY").then(5.25).otherwise(name).alias(name)
        for name in ("open", "high", "low", "close")
    ]
    result, _ = walked(replace(history(), candles=history().candles.with_columns(flat)), START, START)
    assert {each.symbol for each in result.scored} == {"BTC-USD", "EURUSD"}
    assert result.left_out == {("SPY", CONSTANT): 1}


@pytest.mark.parametrize(("hours", "candles"), [(24, 48), (25, 36)])
def test_a_window_begins_after_a_long_hole(hours: int, candles: int) -> None:
    end = START - 37 * HOUR
    _, ask = walked(without((end - (hours - 1) * HOUR, end)), START, START)
    (window,) = (order.window for order in ask.orders if order.symbol == "BTC-USD")
    assert len(window.timestamps) == candles


def test_a_feed_that_is_a_little_late_is_forecast_as_in_the_flow() -> None:
    late = without((START - 3 * HOUR, START - HOUR))
    result, ask = walked(late, START, START)
    assert "BTC-USD" in {forecast.symbol for forecast in result.scored}
    assert all(order.window.late == (order.symbol == "BTC-USD") for order in ask.orders)
    strict, _ = walked(late, START, START, stale_after=1)
    assert +strict.skipped == {"the feed had stopped": 1}


@pytest.mark.parametrize(
    ("change", "with_events", "reason"),
    [({}, False, "turned off"), ({"sources": None}, True, "there is no economic calendar")],
)
def test_without_events(change: dict[str, Any], with_events: bool, reason: str) -> None:
    result, ask = walked(replace(history(), **change), START, START, with_events=with_events)
    assert all(order.events is None for order in ask.orders)
    assert result.without_events == {reason: 3}


def test_a_forecast_has_the_releases_on_its_candles() -> None:
    decision = datetime(2025, 6, 4, 18, tzinfo=UTC)  # any instant: the rows decide
    sources = history().sources
    assert sources is not None
    times = sources.calendar.filter(pl.col("event_type") == "nfp", pl.col("event_time") < END)["event_time"]
    release = max(times.to_list()) if len(times) else decision
    start = release.replace(minute=0) - HOUR
    result, _ = walked(history(), start, start)
    crypto: Scored = next(forecast for forecast in result.scored if forecast.symbol == "BTC-USD")
    assert crypto.events is not None
    assert "nfp" in crypto.events.kinds[1]


def test_the_frame_of_candles_is_that_of_the_database() -> None:
    assert history().candles.columns == list(CANDLES)
