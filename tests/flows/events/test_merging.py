"""One event per release: several times, several figures, releases that never came or were withdrawn."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from flows.events import EventConfig
from flows.events.releases import EconomicCalendar, parse_calendar
from tests.helpers.event_markets import Market, at, calendar_rows

CPI, FOMC, EARNED = "CPI m/m", "Federal Funds Rate", "NVDA Earnings"
FAR = np.datetime64("2100-01-01", "us")


def parsed_of(
    config: EventConfig, rows: pl.DataFrame | Iterable[dict[str, Any]], **columns: Any
) -> EconomicCalendar:
    frame = rows if isinstance(rows, pl.DataFrame) else calendar_rows(*rows, **columns)
    return parse_calendar(frame, None, ["NVDA"], config)


def months(count: int, end: str = "2024-06-12T12:30", **figures: Any) -> list[dict[str, Any]]:
    """Return monthly CPI rows with figures, the last at `end`."""
    last = datetime.fromisoformat(end)
    return [
        {"event_time": last - timedelta(days=30 * back), "title": CPI, "actual": 0.2, "forecast": 0.1}
        | figures
        for back in reversed(range(count))
    ]


def standing(
    config: EventConfig,
    rows: pl.DataFrame | Iterable[dict[str, Any]],
    now: str,
    as_of: str = "2100-01-01",
    kind: int = 1,
) -> list[str]:
    """Return the times of the releases that a run sees."""
    seen = parsed_of(config, rows).seen_at(np.datetime64(now, "us"), np.datetime64(as_of, "us"))
    times = seen.releases.times[seen.releases.kind == kind]
    return [str(each) for each in times.astype("datetime64[m]")]


class TestTwoTimes:
    def test_the_later_counts_for_flag_and_figures(self, config: EventConfig) -> None:
        same = {"title": CPI, "actual": 0.6, "forecast": 0.1}
        rows = [{"event_time": f"2024-06-12T{hour}:30", **same} for hour in (11, 12)]
        for order in (rows, rows[::-1]):
            parsed = parsed_of(config, order)
            release = parsed.releases.times
            assert release.astype("datetime64[m]").astype(str).tolist() == ["2024-06-12T12:30"]
            assert parsed.releases.public_at.tolist() == release.tolist()
            assert parsed.source.merged.two_times.tolist() == [True]

    def test_an_old_schedule_of_the_day_does_not_delay_figures(self, config: EventConfig) -> None:
        rows: list[dict[str, Any]] = [
            {"event_time": "2024-06-12T12:30", "title": CPI, "actual": 0.6, "forecast": 0.1},
            {"event_time": "2024-06-12T18:00", "title": CPI},
        ]
        assert str(parsed_of(config, rows).releases.public_at[0]) == "2024-06-12T12:30:00.000000"

    def test_figures_of_the_later_row_count_from_its_time_on(self, config: EventConfig) -> None:
        rows = [
            {"event_time": "2024-06-12T12:30", "title": CPI, "forecast": 0.7},
            {"event_time": "2024-06-12T15:00", "title": CPI, "actual": 1.0},
        ]
        releases = parsed_of(config, rows).releases
        assert releases.direction.tolist() == [1.0]
        assert str(releases.public_at[0]) == "2024-06-12T15:00:00.000000"

    def test_one_time_is_said_once(self, config: EventConfig) -> None:
        parsed = parsed_of(config, [*months(3), *months(3)])
        assert not parsed.source.merged.two_times.any()


class TestFigures:
    def test_rows_of_one_time_that_contradict_each_other_leave_none(self, config: EventConfig) -> None:
        same = {"event_time": "2024-06-12T12:30", "title": CPI, "forecast": 0.1}
        parsed = parsed_of(config, [{**same, "actual": 0.6}, {**same, "actual": 0.7}])
        assert parsed.source.merged.contradicting.tolist() == [True]
        assert np.isnan(parsed.releases.direction).all()
        assert len(parsed.releases.times) == 1

    def test_a_revision_at_a_later_time_leaves_the_first(self, config: EventConfig) -> None:
        rows = [
            {"event_time": "2024-06-12T12:30", "title": CPI, "forecast": 0.5, "actual": 0.6},
            {"event_time": "2024-06-12T15:00", "title": CPI, "forecast": 0.5, "actual": 0.4},
        ]
        parsed = parsed_of(config, rows)
        assert parsed.releases.direction.tolist() == [1.0]
        assert not parsed.source.merged.contradicting.any()

    def test_equal_figures_and_gaps_do_not_contradict(self, config: EventConfig) -> None:
        same = {"event_time": "2024-06-12T12:30", "title": CPI, "forecast": 0.1}
        parsed = parsed_of(config, [{**same, "actual": 0.6}, same, {**same, "actual": 0.6, "source": "b"}])
        assert parsed.releases.direction.tolist() == [1.0]
        assert not parsed.source.merged.contradicting.any()


class TestNeverCame:
    MOVED = {"event_time": "2024-06-10T12:30", "title": CPI, "forecast": 0.1}  # and came on June 12

    def test_a_past_row_without_figures_is_no_event_once_a_later_one_is_public(
        self, config: EventConfig
    ) -> None:
        rows = [*months(24), self.MOVED]
        assert "2024-06-10T12:30" in standing(config, rows, "2024-06-12T12:00")
        assert "2024-06-10T12:30" in standing(config, rows, "2024-06-12T12:30")  # not public before t
        assert "2024-06-10T12:30" not in standing(config, rows, "2024-06-12T13:00")
        assert standing(config, rows, "2024-06-12T13:00")[-1] == "2024-06-12T12:30"

    def test_the_last_row_stays_until_another_came(self, config: EventConfig) -> None:
        rows = [*months(24), {"event_time": "2024-06-20T12:30", "title": CPI}]
        assert standing(config, rows, "2024-09-01")[-1] == "2024-06-20T12:30"

    @pytest.mark.parametrize(("without", "gone"), [(1, True), (3, True), (5, False), (12, False)])
    def test_figures_must_be_the_rule(self, config: EventConfig, without: int, gone: bool) -> None:
        rows = months(24)
        for row in rows[-2 : -2 * without - 1 : -2]:
            row["actual"] = None
        assert (len(standing(config, rows, "2024-06-13")) == 24 - without) is gone

    def test_earnings_without_figures_stay(self, config: EventConfig) -> None:
        rows = [
            {
                "event_time": f"{year}-{month}-20T20:00",
                "title": EARNED,
                "event_type": "earnings",
                "symbol": "NVDA",
            }
            for year in (2022, 2023)
            for month in ("02", "05", "08", "11")
        ]
        parsed = parsed_of(config, [*months(2), *rows])
        assert len(parsed.seen_at(FAR, FAR).of("NVDA").times) == 10
        assert (
            len(
                parsed_of(config, [*months(2), *rows[:-1], {**rows[-1], "actual": 0.8}])
                .as_known_today()
                .of("NVDA")
                .times
            )
            == 10
        )

    def test_a_date_of_earnings_that_moved_goes(self, config: EventConfig) -> None:
        rows = [
            {
                "event_time": f"{year}-{month}-20T20:00",
                "title": EARNED,
                "event_type": "earnings",
                "symbol": "NVDA",
                "actual": 1.0,
            }
            for year in (2022, 2023)
            for month in ("02", "05", "08", "11")
        ]
        moved = {**rows[-1], "event_time": "2023-11-15T21:00", "actual": None}
        parsed = parsed_of(config, [*months(2), *rows, moved]).as_known_today()
        assert len(parsed.of("NVDA").times) == 10

    def test_an_unscheduled_decision_happened_whatever_is_missing(self, config: EventConfig) -> None:
        decisions = [
            {"event_time": f"2024-{month:02d}-{day}T18:00", "title": FOMC, "actual": 5.5}
            for month, day in ((1, 31), (3, 20), (4, 30), (6, 12))
        ]
        rows = [*decisions, {"event_time": "2024-05-20T14:00", "title": FOMC, "scheduled": False}]
        assert len(standing(config, rows, "2024-07-01", kind=0)) == 5


class TestWithdrawn:
    def test_a_run_as_of_before_still_sees_it(self, config: EventConfig) -> None:
        frame = calendar_rows(*months(6), {"event_time": "2024-07-11T12:30", "title": CPI})
        gone = pl.when(pl.col("event_time") > at("2024-07-01")).then(pl.lit(at("2024-06-20T10:00")))
        frame = frame.with_columns(withdrawn_at=gone)
        assert standing(config, frame, "2024-06-20T09:00", "2024-06-20T09:59")[-1] == "2024-07-11T12:30"
        assert standing(config, frame, "2024-06-20T09:00", "2024-06-20T10:00")[-1] == "2024-06-12T12:30"
        countdown = parsed_of(config, frame).seen_at(FAR, FAR).countdowns["cpi"]
        assert len(countdown) == 6

    def test_its_figures_count_for_nothing(self, config: EventConfig) -> None:
        frame = (
            calendar_rows(*months(8))
            .with_row_index()
            .with_columns(
                withdrawn_at=pl.when(pl.col("index") == 5).then(pl.lit(at("2100-01-01"))),
                actual=pl.when(pl.col("index") == 5).then(99.0).otherwise("actual"),
            )
        )
        assert np.isnan(parsed_of(config, frame).releases.direction[5])


class TestTooOften:
    def test_a_title_that_stands_on_every_day_is_no_schedule(self, config: EventConfig) -> None:
        days = [
            {
                "event_time": datetime(2024, 5, 1) + timedelta(days=day),
                "title": "FOMC Press Release",
                "time_known": False,
                "source": "FRED",
                "currency": None,
            }
            for day in range(60)
        ]
        decisions = [{"event_time": f"2024-{day}T18:00", "title": FOMC} for day in ("05-01", "06-12")]
        parsed = parsed_of(config, [*days, *decisions])
        assert parsed.source.too_frequent.tolist() == [56, 0, 0, 0, 0]
        times = parsed.releases.times[parsed.releases.kind == 0].astype("datetime64[m]").astype(str)
        assert times[-1] == "2024-06-12T18:00"
        assert len(times) == 5  # what stood there before it could be known stays

    def test_the_real_calendar_has_none(self, market: Market) -> None:
        parsed = parse_calendar(market.calendar, None, [], market.config)
        assert not parsed.source.too_frequent.any()
        assert parsed.seen_at(FAR, FAR) is parsed
        assert not parsed.source.merged.contradicting.any()
        assert parsed.source.merged.two_times.sum() == 0
