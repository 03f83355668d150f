from typing import Any

import polars as pl
import pytest

from tests.helpers.event_markets import Market, at, calendar_rows
from tests.helpers.event_results import context_of


@pytest.mark.parametrize(
    ("symbol", "timeframe", "as_of", "active", "directions"),
    [
        # 24 hours before an FOMC, to the minute, and an hour earlier.
        ("EURUSD", "1h", "2022-06-14T18:00", ["fomc", "rate_decision"], {}),
        ("EURUSD", "1h", "2022-06-14T17:00", None, None),
        # On the candle of the decision; an hour later only other banks' decisions are near.
        ("EURUSD", "1h", "2022-06-15T19:00", ["fomc", "rate_decision"], {"fomc": "hawkish"}),
        ("EURUSD", "1h", "2022-06-15T20:00", ["rate_decision"], {}),
        ("BTC-USD", "1h", "2022-06-10T13:00", ["cpi"], {"cpi": "hot"}),
        # Daily: the decision falls within the next session, and then on the last one used.
        ("SPY", "1d", "2022-06-14T22:00", ["fomc", "rate_decision"], {}),
        ("SPY", "1d", "2022-06-15T22:00", ["fomc", "rate_decision"], {"fomc": "hawkish"}),
        ("SPY", "1d", "2022-06-13T22:00", None, None),
        ("SPY", "1d", "2022-08-10T22:00", ["cpi"], {"cpi": "cool"}),
        ("SPY", "1d", "2022-11-04T22:00", ["nfp"], {"nfp": "strong"}),
        ("SPY", "1d", "2024-08-02T22:00", ["nfp"], {"nfp": "weak"}),
        ("SPY", "1d", "2022-07-28T22:00", ["gdp", "pce"], {"gdp": "weak"}),
        ("SPY", "1d", "2024-09-18T22:00", ["fomc", "rate_decision"], {"fomc": "dovish"}),
        # An unscheduled cut: nothing before it, dovish after it.
        ("EURUSD", "1h", "2020-03-03T14:00", None, None),
        ("EURUSD", "1h", "2020-03-03T16:00", ["fomc", "rate_decision"], {"fomc": "dovish"}),
        # Earnings with a date only: the session before, the session itself, none after.
        ("NVDA", "1d", "2024-11-19T22:00", ["earnings"], {}),
        ("NVDA", "1d", "2024-11-20T22:00", ["earnings"], {}),
        ("NVDA", "1h", "2024-11-20T19:30", ["earnings"], {}),
        ("SPY", "1d", "2024-11-19T22:00", None, None),
    ],
)
def test_context_of_real_events(
    market: Market,
    symbol: str,
    timeframe: str,
    as_of: str,
    active: list[str] | None,
    directions: dict[str, Any] | None,
) -> None:
    banks = ["Main Refinancing Rate", "Official Bank Rate", "Overnight Rate", "Cash Rate", "BOJ Policy Rate"]
    banks += ["Official Cash Rate", "1-y Loan Prime Rate"]
    # The others decide somewhere in the world every few days; the Swiss stay in, for the day after the FOMC.
    calendar = market.calendar.filter(~pl.col("title").is_in(banks))
    result = market.build(market.request(symbol, timeframe, as_of), calendar)
    if active is None:
        assert result.context is None
    else:
        context = context_of(result)
        assert context["events_active"] == active
        assert context["surprise_directions"] == directions


def test_upcoming_tells_time_and_hours_of_the_next_release_of_each_kind(market: Market) -> None:
    upcoming = context_of(market.build(market.request("NVDA", "1h", "2024-11-19T15:30")))["upcoming"]
    assert upcoming[0] == {"event": "earnings", "time": "2024-11-20", "hours_ahead": 8.5}
    assert [entry["event"] for entry in upcoming].count("rate_decision") == 1
    assert {"event": "fomc", "time": "2024-12-18T19:00Z", "hours_ahead": 699.5} in upcoming
    assert [entry["hours_ahead"] for entry in upcoming] == sorted(entry["hours_ahead"] for entry in upcoming)


def test_a_history_alone_looks_as_far_ahead(market: Market) -> None:
    with_window = market.build(market.request("SPY", "1d", "2022-06-14T22:00"))
    alone = market.build(market.request("SPY", "1d", "2022-06-14T22:00", pred_len=0))
    assert alone.context == with_window.context


def test_a_release_as_forecast_has_no_direction(market: Market) -> None:
    context = context_of(market.build(market.request("SPY", "1d", "2022-05-04T22:00")))
    assert "fomc" in context["events_active"]
    assert "fomc" not in context["surprise_directions"]


def test_an_actual_published_after_the_last_candle_gives_no_direction(market: Market) -> None:
    request = market.request("EURUSD", "1h", "2022-06-10T12:00")
    assert context_of(market.build(request))["surprise_directions"] == {}


def test_an_event_of_which_only_the_date_is_known_is_active_while_the_date_lasts(market: Market) -> None:
    rows = calendar_rows(
        {
            "event_time": "2024-11-20",
            "title": "NVDA",
            "event_type": "earnings",
            "symbol": "NVDA",
            "time_known": False,
        },
        {"event_time": "2024-11-06T19:00", "title": "Federal Funds Rate"},
    )
    active = {
        as_of: market.build(
            market.request("BTC-USD", "1h", as_of), rows.with_columns(symbol=pl.lit("BTC-USD"))
        ).context
        for as_of in ("2024-11-18T23:00", "2024-11-19T00:00", "2024-11-20T23:00", "2024-11-21T00:00")
    }
    assert [context is not None for context in active.values()] == [False, True, True, False]


def test_context_is_plain_json(market: Market) -> None:
    import json

    context = market.build(market.request("NVDA", "1d", "2024-11-19T22:00")).context
    assert json.loads(json.dumps(context)) == context
    assert at("2024-11-20") > at("2024-11-19")
