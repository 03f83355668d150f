import numpy as np
import polars as pl
import pytest

from flows.events import EventConfig, EventError
from flows.events.releases import EconomicCalendar, parse_calendar
from tests.helpers.event_markets import Market, calendar_rows

FOMC, CPI = "Federal Funds Rate", "CPI m/m"


def times_of(calendar: EconomicCalendar, kind: str = "cpi") -> list[str]:
    return [str(time) for time in calendar.countdowns[kind].astype("datetime64[m]")]


def test_rows_match_by_currency_and_title_not_by_event_type(config: EventConfig) -> None:
    calendar = calendar_rows(
        {"event_time": "2022-06-10T12:30", "title": CPI},
        {"event_time": "2022-06-22T12:30", "title": CPI, "currency": "CAD"},
        {"event_time": "2022-07-13T12:30", "title": "CPI y/y", "event_type": "cpi"},
    )
    assert times_of(parse_calendar(calendar, None, [], config)) == ["2022-06-10T12:30"]


@pytest.mark.parametrize("dtype", [pl.Categorical(), pl.Null()])
def test_event_types_may_be_categories_or_all_missing(config: EventConfig, dtype: pl.DataType) -> None:
    rows = calendar_rows({"event_time": "2022-06-10T12:30", "title": CPI, "event_type": None})
    rows = rows.with_columns(pl.col("event_type").cast(dtype), pl.col("title").cast(pl.Categorical()))
    assert times_of(parse_calendar(rows, None, [], config)) == ["2022-06-10T12:30"]


def test_earnings_without_a_symbol_go_by_their_title(config: EventConfig) -> None:
    rows = calendar_rows({"event_time": "2022-06-10T12:30", "title": CPI, "event_type": "earnings"})
    assert times_of(parse_calendar(rows, None, ["NVDA"], config)) == ["2022-06-10T12:30"]


def test_another_symbols_earnings_are_nobodys(config: EventConfig) -> None:
    cpi, own, others = (
        {"event_time": "2022-06-10T12:30", "title": CPI},
        {"event_time": "2022-06-08T20:00", "event_type": "earnings", "title": "NVDA", "symbol": "NVDA"},
        {"event_time": "2022-06-09T20:00", "event_type": "earnings", "title": CPI, "symbol": "MSFT"},
    )
    parsed = parse_calendar(calendar_rows(cpi, own, others), None, ["NVDA", "AAPL"], config)
    assert len(parsed.of("NVDA").times) == 2
    assert len(parsed.of("AAPL").times) == len(parsed.of("MSFT").times) == 1


def test_duplicate_rows_of_a_date_are_one_event_and_a_known_time_beats_a_date(config: EventConfig) -> None:
    calendar = calendar_rows(
        {"event_time": "2022-06-10T00:00", "title": CPI, "time_known": False},
        {"event_time": "2022-06-10T12:30", "title": CPI, "forecast": 0.7},
        {"event_time": "2022-06-10T12:30", "title": CPI, "actual": 1.0},
        {"event_time": "2022-06-10T15:00", "title": CPI, "actual": 5.0, "forecast": 0.0},
    )
    parsed = parse_calendar(calendar, None, [], config)
    assert times_of(parsed) == ["2022-06-10T15:00"]
    assert parsed.releases.direction.tolist() == [1.0]  # of the figure that was published first


def test_where_only_the_date_is_known_the_figures_are_public_when_it_is_over(config: EventConfig) -> None:
    calendar = calendar_rows(
        {"event_time": "2022-06-10T07:00", "title": CPI, "time_known": False, "actual": 1.0, "forecast": 0.7}
    )
    releases = parse_calendar(calendar, None, [], config).releases
    assert str(releases.times[0]) == "2022-06-10T00:00:00.000000"
    assert str(releases.public_at[0]) == "2022-06-11T00:00:00.000000"


def test_real_decisions_score_as_published(market: Market) -> None:
    parsed = parse_calendar(market.calendar, None, [], market.config)
    fomc = parsed.releases.take(parsed.releases.kind == 0)
    score = dict(zip(fomc.times.astype("datetime64[D]").astype(str), fomc.score, strict=True))
    assert (score["2022-06-15"], score["2022-05-04"], score["2024-09-18"]) == (1.0, 0.0, -1.0)
    assert (score["2020-03-03"], score["2020-03-15"]) == (-1.0, -1.0)
    assert len(score) == len(fomc.times) == 121
    late = fomc.times[~fomc.scheduled].astype("datetime64[D]").astype(str)
    assert late.tolist() == ["2020-03-03", "2020-03-15"]


def test_an_actual_that_never_came_is_no_surprise(config: EventConfig) -> None:
    calendar = calendar_rows({"event_time": "2022-06-10T12:30", "title": CPI, "forecast": 0.7})
    assert len(parse_calendar(calendar, None, [], config).scored.times) == 0


def test_a_hawkish_score_of_the_calendar_wins(config: EventConfig) -> None:
    calendar = calendar_rows(
        {
            "event_time": "2022-06-15T18:00",
            "title": FOMC,
            "actual": 1.75,
            "forecast": 1.5,
            "hawkish_score": 0.25,
        }
    )
    assert parse_calendar(calendar, None, [], config).scored.score.tolist() == [0.25]


def test_earnings_are_kept_by_symbol(market: Market) -> None:
    parsed = parse_calendar(market.calendar, None, ["NVDA", "EURUSD"], market.config)
    assert list(parsed.with_earnings) == ["NVDA"]
    assert len(parsed.of("NVDA").times) == len(parsed.of("EURUSD").times) + 40


def test_the_table_of_rates_adds_decisions(config: EventConfig) -> None:
    calendar = calendar_rows({"event_time": "2022-06-15T18:00", "title": FOMC})
    rates = pl.DataFrame(
        {
            "bank": ["Norges Bank", "Fed"],
            "decision_time": calendar_rows(
                {"event_time": "2022-06-23T08:00", "title": ""},
                {"event_time": "2020-03-15T21:00", "title": ""},
            )["event_time"],
            "time_known": [True, None],
            "scheduled": [True, True],
        }
    )
    decisions = parse_calendar(calendar, rates, [], config).releases
    decisions = decisions.take(decisions.kind == 5)
    assert decisions.times.astype("datetime64[D]").astype(str).tolist() == [
        "2020-03-15",
        "2022-06-15",
        "2022-06-23",
    ]
    assert decisions.scheduled.tolist() == [False, True, True]  # the configuration lists the first


def test_order_of_the_rows_does_not_matter(market: Market) -> None:
    shuffled = market.calendar.sample(fraction=1.0, shuffle=True, seed=3)
    one = parse_calendar(market.calendar, None, ["NVDA"], market.config)
    two = parse_calendar(shuffled, None, ["NVDA"], market.config)
    np.testing.assert_array_equal(one.rows, two.rows)
    np.testing.assert_array_equal(one.scored.score, two.scored.score)


def test_missing_columns_are_named(config: EventConfig) -> None:
    with pytest.raises(EventError, match=r"lacks the columns actual, scheduled"):
        parse_calendar(calendar_rows().drop("actual", "scheduled"), None, [], config)


def test_a_calendar_without_a_configured_title_is_an_error_not_zeros(config: EventConfig) -> None:
    rows = calendar_rows({"event_time": "2022-06-15T18:00", "title": "Taxa de juros"})
    with pytest.raises(
        EventError, match=r"none of the 1 calendar rows.*USD 'Federal Funds Rate'.*events\.toml"
    ):
        parse_calendar(rows, None, [], config)


def test_a_calendar_of_earnings_alone_is_an_error_too(market: Market) -> None:
    only_earnings = market.calendar.filter(pl.col("event_type") == "earnings")
    with pytest.raises(EventError, match="none of the 320 calendar rows"):
        parse_calendar(only_earnings, None, ["NVDA"], market.config)
