"""Families and surprises that a calendar lacks are named, with the titles most like them."""

import polars as pl
import pytest

from tests.helpers.event_markets import Market, at

NFP = "Non-Farm Employment Change"
CODES = ("missing-releases", "missing-surprises")


CHINA = "central banks of CNY since"  # of which the real calendar has nothing in 2024


def said_of(
    market: Market,
    calendar: pl.DataFrame,
    as_of: str = "2024-06-12T15:00",
    symbol: str = "BTC-USD",
    timeframe: str = "1h",
) -> list[str]:
    request = market.request(symbol, timeframe, as_of, lookback=200, pred_len=48)
    warnings = market.build(request, calendar).warnings
    return [each for each in warnings if each.startswith(CODES) and CHINA not in each]


def titled(market: Market, title: str, other: str) -> pl.DataFrame:
    """Return the real calendar with another title in the place of one."""
    replaced = pl.when(pl.col("title") == title).then(pl.lit(other)).otherwise("title")
    return market.calendar.with_columns(title=replaced)


def test_nothing_is_missing_from_the_real_calendar(market: Market) -> None:
    assert said_of(market, market.calendar) == []


@pytest.mark.parametrize(
    ("family", "title", "other"),
    [
        ("nfp", NFP, "US Payrolls, nonfarm"),
        ("cpi", "CPI m/m", "Consumer prices MoM"),
        ("fomc", "Federal Funds Rate", "Federal Funds Target"),
        ("pce", "Core PCE Price Index m/m", "Core PCE deflator m/m"),
    ],
)
def test_a_family_whose_title_is_unknown_is_named_with_the_closest(
    market: Market, family: str, title: str, other: str
) -> None:
    said = said_of(market, titled(market, title, other))
    assert [each for each in said if f"no release of {family} " in each and repr(other) in each]
    assert len(said) == 1
    assert "KRONOS_EVENTS_CONFIG" in said[0]


def test_every_family_that_is_missing_is_named_where_the_calendar_ends_now(market: Market) -> None:
    mine = (pl.col("title") == "CPI m/m") & (pl.col("event_time") < at("2024-06-12T15:00"))
    said = said_of(market, market.calendar.filter(mine))
    assert [each.split(" (")[0].split()[-1] for each in said[:4]] == ["fomc", "nfp", "gdp", "pce"]
    assert "the central banks of EUR, GBP" in said[4]


def test_a_title_that_changed_lately_is_named(market: Market) -> None:
    late = (pl.col("title") == NFP) & (pl.col("event_time") > at("2024-04-01"))
    calendar = market.calendar.with_columns(title=pl.when(late).then(pl.lit("Payrolls")).otherwise("title"))
    (said,) = said_of(market, calendar)
    assert "no release of nfp" in said
    assert "after 2024-03-08" in said
    assert "'Payrolls'" in said


def test_a_gap_in_the_middle_of_a_window_is_named(market: Market) -> None:
    gap = (pl.col("title") == "CPI m/m") & pl.col("event_time").is_between(at("2024-01-15"), at("2024-04-01"))
    (said,) = said_of(market, market.calendar.filter(~gap), symbol="BTC-USD", timeframe="1d")
    assert "no release of cpi" in said
    assert "between 2024-01-11 and 2024-04-10" in said


@pytest.mark.parametrize(("figure", "lack"), [("actual", "has an actual"), ("forecast", "has a forecast")])
def test_a_surprise_without_figures_is_named(market: Market, figure: str, lack: str) -> None:
    calendar = market.calendar.with_columns(
        pl.when(pl.col("title") == "CPI m/m").then(None).otherwise(figure).alias(figure)
    )
    (said,) = said_of(market, calendar)
    assert said.startswith("missing-surprises: none of the 2 releases of cpi from 2024-05-15 to 2024-06-12")
    assert lack in said


def test_rows_that_only_say_when_are_named(market: Market) -> None:
    said = said_of(market, titled(market, "CPI m/m", "Consumer Price Index"))
    assert [each.split(":")[0] for each in said] == ["missing-surprises"]


def test_too_few_surprises_before_are_named(market: Market) -> None:
    old = (pl.col("title") == "CPI m/m") & (pl.col("event_time") < at("2024-03-01"))
    (said,) = said_of(market, market.calendar.filter(~old))
    assert said.startswith("missing-surprises: only 4 releases of cpi so far")


def test_a_decision_without_a_forecast_is_measured_by_the_rate_before(market: Market) -> None:
    calendar = market.calendar.with_columns(
        forecast=pl.when(pl.col("title") == "Federal Funds Rate").then(None).otherwise("forecast")
    )
    assert said_of(market, calendar) == []


def test_every_symbol_of_a_run_hears_the_same(market: Market) -> None:
    calendar = titled(market, NFP, "Payrolls")
    assert said_of(market, calendar) == said_of(market, calendar, symbol="EURUSD")


def test_a_title_that_belongs_to_no_currency_is_named(market: Market) -> None:
    mine = pl.col("title") == NFP
    calendar = market.calendar.with_columns(
        currency=pl.when(mine).then(None).otherwise("currency"),
        source=pl.when(mine).then(pl.lit("somebody")).otherwise("source"),
    )
    (said,) = said_of(market, calendar)
    assert f"'{NFP} (of no currency)'" in said


def test_central_banks_without_decisions_are_named(market: Market) -> None:
    usd = market.calendar.filter(pl.col("currency") == "USD")
    (said,) = said_of(market, usd)
    assert (
        "no decision of the central banks of EUR, GBP, JPY, CHF, CAD, AUD, NZD, CNY since 2024-03-04" in said
    )
    request = market.request("BTC-USD", "1h", "2024-06-12T15:00", lookback=200, pred_len=48)
    rates = pl.DataFrame(
        {
            "bank": ["ECB"],
            "decision_time": [at("2024-06-06T12:15")],
            "time_known": [True],
            "scheduled": [True],
        }
    )
    assert not any(each.startswith(CODES) for each in market.build(request, usd, rates=rates).warnings)


def test_the_closest_title_of_a_bank_is_named(market: Market) -> None:
    said = said_of(market, titled(market, "Official Bank Rate", "Official Bank Rate Decision"))
    assert len(said) == 1
    assert "central banks of GBP, CNY since" in said[0]
    assert "'GBP Official Bank Rate Decision'" in said[0]
