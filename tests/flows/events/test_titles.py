"""Titles and currencies as other providers write them."""

import numpy as np
import polars as pl
import pytest

from flows.events import EventConfig, EventError
from flows.events.releases import parse_calendar
from flows.events.titles import closest_titles, currency_of, normal_title
from tests.helpers.event_markets import Market, calendar_rows
from tests.helpers.event_results import context_of


@pytest.mark.parametrize(
    ("title", "same"),
    [
        ("CPI (MoM)  (Mar)", "cpi (mom)"),
        ("Nonfarm Payrolls (Mar/24)", "nonfarm payrolls"),
        ("Fed Interest Rate Decision (Jun/20)", "fed interest rate decision"),
        ("GDP (QoQ)  (Q4 2023)", "gdp (qoq)"),
        ("Construction PMI (September)", "construction pmi"),
        ("CPI\u00a0m/m (Sept. 2024)", "cpi m/m"),
        ("Retail Sales (2024)", "retail sales"),
        ("Durable Goods (Martian)", "durable goods (martian)"),
        ("GDP (QoQ) (May) Final", "gdp (qoq) final"),
    ],
)
def test_case_blanks_and_a_period_in_brackets_do_not_matter(title: str, same: str) -> None:
    assert normal_title(title) == same == normal_title(same.upper())


@pytest.mark.parametrize(
    ("given", "currency"),
    [
        (("usd", None, None), "USD"),
        ((" EUR ", "US", None), "EUR"),
        ((None, "US", None), "USD"),
        (("", "United  States", None), "USD"),
        ((None, "euro area", None), "EUR"),
        ((None, "Mexico", None), None),
        ((None, None, "FRED release calendar"), "USD"),
        ((None, None, "somebody"), None),
    ],
)
def test_a_row_belongs_to_its_currency_else_its_country(
    given: tuple[str | None, str | None, str | None], currency: str | None
) -> None:
    assert currency_of(*given) == currency


VENDORS = {
    "ForexFactory": (
        "Federal Funds Rate",
        "CPI m/m",
        "Non-Farm Employment Change",
        "Advance GDP q/q",
        "Core PCE Price Index m/m",
    ),
    "Investing": (
        "Fed Interest Rate Decision",
        "CPI (MoM)  (May)",
        "Nonfarm Payrolls  (May)",
        "GDP (QoQ)  (Q1)",
        "Core PCE Price Index (MoM)  (May)",
    ),
    "FMP": (
        "Fed Interest Rate Decision",
        "Inflation Rate MoM (May)",
        "Non Farm Payrolls (May)",
        "GDP Growth Rate QoQ Adv (Q1)",
        "Core PCE Price Index MoM (May)",
    ),
    "Finnhub": (
        "Fed Interest Rate Decision",
        "CPI MoM",
        "Non Farm Payrolls",
        "GDP Growth Rate QoQ 2nd Est",
        "Core PCE Price Index MoM",
    ),
    "Nasdaq": (
        "Fed Interest Rate Decision",
        "CPI",
        "Nonfarm Payrolls",
        "GDP",
        "Core PCE Price Index",
    ),
    "FRED": (
        "FOMC Press Release",
        "Consumer Price Index",
        "Employment Situation",
        "Gross Domestic Product",
        "Personal Income and Outlays",
    ),
    "TradingEconomics": (
        "Fed Interest Rate Decision",
        "Inflation Rate MoM",
        "Non Farm Payrolls",
        "GDP Growth Rate QoQ Final",
        "Core PCE Price Index MoM",
    ),
}


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("country", [None, "US"])
def test_the_shipped_titles_are_those_of_every_provider(
    config: EventConfig, vendor: str, country: str | None
) -> None:
    titles = VENDORS[vendor]
    where = {"currency": "USD"} if country is None else {"currency": None, "country": country}
    rows = [
        {"event_time": f"2024-06-{day + 3:02d}T12:30", "title": title.swapcase(), **where}
        for day, title in enumerate(titles)
    ]
    releases = parse_calendar(calendar_rows(*rows), None, [], config).releases
    assert sorted(set(releases.kind.tolist()) - {5}) == [0, 1, 2, 3, 4]


def test_titles_alike_are_found_and_others_are_not() -> None:
    present = ["Consumer Prices MoM", "Payrolls", "Beige Book", "Nonfarm Payroll Employment"]
    found = closest_titles(["Non-Farm Employment Change", "Nonfarm Payrolls"], present)
    assert sorted(found) == ["Nonfarm Payroll Employment", "Payrolls"]
    assert closest_titles(["CPI m/m"], ["Beige Book"]) == closest_titles(["CPI m/m"], []) == []


def test_the_error_of_a_calendar_without_any_title_names_those_alike(config: EventConfig) -> None:
    rows = calendar_rows({"event_time": "2024-06-12T18:00", "title": "Fed Funds Rate Announcement"})
    with pytest.raises(EventError, match=r"closest titles are 'Fed Funds Rate Announcement'.*events\.toml"):
        parse_calendar(rows, None, [], config)


def test_the_title_named_first_gives_the_figures(config: EventConfig) -> None:
    figures = {"event_time": "2024-06-12T12:30", "forecast": 0.1}
    rows = calendar_rows(
        {**figures, "title": "Inflation Rate MoM (May)", "actual": 0.2},
        {**figures, "title": "CPI m/m", "actual": 0.0},
    )
    parsed = parse_calendar(rows, None, [], config)
    assert parsed.releases.direction.tolist() == [-1.0]
    assert not parsed.source.merged.contradicting.any()


RENAMED = {
    "Federal Funds Rate": "Fed Interest Rate Decision",
    "CPI m/m": "Inflation Rate MoM (Jun)",
    "Non-Farm Employment Change": "NONFARM PAYROLLS  (Jun/22)",
    "Advance GDP q/q": "GDP Growth Rate QoQ Adv (Q1)",
    "Prelim GDP q/q": "GDP Growth Rate QoQ 2nd Est (Q1)",
    "Final GDP q/q": "GDP (QoQ)  (Q1)",
    "Core PCE Price Index m/m": "Core PCE Price Index (MoM)  (May)",
}


@pytest.mark.parametrize("currency", ["usd", None])
def test_another_providers_titles_give_the_same_array_and_context(
    market: Market, currency: str | None
) -> None:
    request = market.request("EURUSD", "1h", "2022-06-15T19:00")
    tracked = pl.col("title").is_in(list(RENAMED)) & (pl.col("currency") == "USD")
    renamed = market.calendar.with_columns(
        title=pl.when(tracked).then(pl.col("title").replace(RENAMED)).otherwise("title"),
        currency=pl.when(tracked).then(pl.lit(currency)).otherwise("currency"),
        country=pl.when(tracked).then(pl.lit("United States")).otherwise("country"),
    )
    shipped, other = market.build(request), market.build(request, renamed)
    np.testing.assert_array_equal(shipped.array, other.array)
    assert other.context == shipped.context
    assert context_of(other)["events_active"] == ["fomc", "rate_decision"]
    assert other.warnings == shipped.warnings
