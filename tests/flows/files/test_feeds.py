"""Candles, calendars, rates and series as files bring them: what is taken, derived and refused."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flows.files import feeds
from flows.files.candle_notes import candle_notes
from flows.files.frames import TableError, read_file
from market.instruments import Instrument, default_instruments

CANDLE: dict[str, Any] = {
    "symbol": "A", "timestamp": "2024-01-02", "open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0,
}  # fmt: skip
EVENT: dict[str, Any] = {"event_time": "2022-06-10T12:30Z", "event_type": "cpi", "title": "CPI m/m"}


class TestCandles:
    def test_optional_columns_become_null(self) -> None:
        (row,) = feeds.candles(pl.DataFrame([CANDLE]), "1d").to_dicts()
        assert row == {
            "symbol": "A", "ts": datetime(2024, 1, 2, tzinfo=UTC), "open": 10.0, "high": 12.0, "low": 9.0,
            "close": 11.0, "volume": None, "amount": None,
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"high": 10.5}, r"high is below another price: A 2024-01-02T00:00:00\+00:00 10.0 10.5 9.0 11.0"),
            ({"low": 10.5}, "low is above another price: A 2024-01-02"),
            ({"volume": -1.0}, "volume is negative: A 2024-01-02"),
            ({"amount": -1.0}, "amount is negative: A 2024-01-02"),
            ({"close": 13.0}, "high is below another price: A 2024-01-02"),
            ({"low": 0.0}, "a price is zero or below; .* allow_nonpositive .*: A 2024-01-02"),
            ({"low": -1.0}, "a price is zero or below"),
            ({"open": 0.0, "high": 0.0, "low": 0.0, "close": 0.0}, "a price is zero or below"),
            ({"close": float("nan")}, "close is not finite: A 2024-01-02"),
            ({"volume": float("inf")}, "volume is not finite: A 2024-01-02"),
            ({"close": None}, "close is missing: A 2024-01-02"),
            (
                {"timestamp": "2024-01-02T17:00-05:00"},
                "must be its session date at 00:00 UTC: A 2024-01-02T22:00",
            ),
        ],
    )
    def test_unfit_candles_are_named(self, change: dict[str, Any], message: str) -> None:
        with pytest.raises(TableError, match=message):
            feeds.candles(pl.DataFrame([CANDLE | change]), "1d")

    def test_an_hourly_timestamp_may_stand_anywhere(self) -> None:
        frame = pl.DataFrame([CANDLE | {"timestamp": "2024-01-02T14:30Z"}])
        assert feeds.candles(frame, "1h").height == 1

    @pytest.mark.parametrize(
        ("minutes", "timeframe", "message"),
        [
            (3, "1h", "candles of A are 3 minutes apart, timeframe is 1h$"),
            (5, "1h", "candles of A are 5 minutes apart, timeframe is 1h \\(did you mean timeframe 5m"),
            (240, "1h", "candles of A are 4 hours apart, timeframe is 1h \\(did you mean timeframe 4h"),
            (1440, "1h", "candles of A are 1 day apart, timeframe is 1h \\(did you mean timeframe 1d"),
            (60, "1d", r"candles of A are 1 hour apart, timeframe is 1d \(did you mean timeframe 1h"),
            (7 * 1440, "1d", "candles of A are 7 days apart, timeframe is 1d \\(did you mean timeframe 1w"),
        ],
    )
    def test_candles_of_another_timeframe(self, minutes: int, timeframe: str, message: str) -> None:
        start = datetime(2024, 1, 2, tzinfo=UTC)
        rows = [CANDLE | {"timestamp": start + timedelta(minutes=minutes * row)} for row in range(40)]
        with pytest.raises(TableError, match=message):
            feeds.candles(pl.DataFrame(rows), timeframe)
        sound = [row | {"symbol": "B", "timestamp": start + timedelta(hours=i)} for i, row in enumerate(rows)]
        with pytest.raises(TableError, match=message):
            feeds.candles(pl.DataFrame([*sound, *rows]), "1h" if timeframe == "1h" else "1d", ["A"])

    def test_prices_that_may_be_below_zero(self) -> None:
        oil = Instrument("A", "commodity", "FX:XNYS", allow_nonpositive=True)
        assert feeds.candles(pl.DataFrame([CANDLE | {"low": -1.0}]), "1d", instruments={"A": oil}).height == 1

    @pytest.mark.parametrize("written", [1704153600, 1704153600000, 1704153600000000, 20240102])
    def test_times_of_any_unit(self, written: int) -> None:
        for value in (written, str(written)):
            (row,) = feeds.candles(pl.DataFrame([CANDLE | {"timestamp": value}]), "1d").to_dicts()
            assert row["ts"] == datetime(2024, 1, 2, tzinfo=UTC)

    def test_symbols_choose(self) -> None:
        frame = pl.DataFrame([CANDLE | {"symbol": symbol} for symbol in "CAB"])
        assert feeds.candles(frame, "1d", ["B", "A"])["symbol"].to_list() == ["A", "B"]
        with pytest.raises(TableError, match="no candles of X, Y in it"):
            feeds.candles(frame, "1d", ["X", "A", "Y"])

    def test_one_symbol_names_a_file_without_the_column(self) -> None:
        frame = pl.DataFrame([CANDLE]).drop("symbol")
        assert feeds.candles(frame, "1d", ["A"])["symbol"].to_list() == ["A"]
        with pytest.raises(TableError, match="missing columns: symbol"):
            feeds.candles(frame, "1d")


class TestCalendar:
    def test_published_text_gives_way_to_its_number(self) -> None:
        event = EVENT | {"actual": "1.0%", "actual_value": 1.0, "forecast": "0.7%", "forecast_value": 0.7}
        (row,) = feeds.calendar(pl.DataFrame([event])).to_dicts()
        assert (row["actual"], row["forecast"], row["previous"], row["scheduled"]) == (1.0, 0.7, None, None)

    def test_published_text_becomes_its_number(self) -> None:
        (row,) = feeds.calendar(pl.DataFrame([EVENT | {"actual": "1.0%", "previous": "-"}])).to_dicts()
        assert (row["actual"], row["previous"]) == (1.0, None)

    def test_earnings_find_their_symbol(self) -> None:
        titled = EVENT | {"event_type": "earnings", "title": "BRK.B Earnings", "symbol": None}
        named = titled | {"title": "Results", "symbol": "MSFT"}
        assert feeds.calendar(pl.DataFrame([titled, named]))["symbol"].to_list() == ["BRK.B", "MSFT"]
        with pytest.raises(TableError, match=r"earnings need a symbol.*2022-06-10"):
            feeds.calendar(pl.DataFrame([named | {"symbol": None}]))

    @pytest.mark.parametrize(
        ("time", "event_type", "said", "stored"),
        [
            ("2020-03-03T15:00Z", "fomc", None, False),
            ("2020-03-15T21:00Z", "fomc", None, False),
            ("2020-03-15T21:00Z", "fomc", True, True),
            ("2020-03-15T21:00Z", "other", None, None),
            ("2020-04-29T18:00Z", "fomc", None, None),
        ],
    )
    def test_decisions_that_nobody_expected(
        self, time: str, event_type: str, said: bool | None, stored: bool | None
    ) -> None:
        event = EVENT | {"event_time": time, "event_type": event_type, "scheduled": said}
        assert feeds.calendar(pl.DataFrame([event]))["scheduled"].to_list() == [stored]


class TestRates:
    def test_a_list_of_fomc_decisions(self) -> None:
        frame = pl.DataFrame(
            {
                "date": ["2020-03-15", "2022-06-15"],
                "decision_time_utc": ["2020-03-15T21:00:00Z", "2022-06-15T18:00:00Z"],
                "target_upper": ["0.25", "1.75"],
                "change_bps": ["-100", "75"],
                "forecast_upper": ["", "1.5"],
                "surprise_bps": ["", "25"],
            }
        )
        march, june = feeds.rates(frame).to_dicts()
        assert (march["bank"], march["scheduled"], march["forecast"]) == ("FED", False, None)
        assert (june["rate"], june["previous"], june["forecast"], june["scheduled"]) == (1.75, 1.0, 1.5, None)

    def test_the_tables_own_columns(self) -> None:
        frame = pl.DataFrame({"bank": ["ECB"], "decision_time": ["2022-07-21T12:15Z"], "rate": [0.5]})
        (row,) = feeds.rates(frame).to_dicts()
        assert (row["bank"], row["rate"], row["previous"]) == ("ECB", 0.5, None)


def test_a_series_as_fred_serves_it() -> None:
    frame = pl.DataFrame({"observation_date": ["2024-01-01", "2024-01-02"], "VIXCLS": [".", "13.2"]})
    assert feeds.indicators(frame).to_dicts() == [
        {"series_id": "VIXCLS", "date": date(2024, 1, 2), "value": 13.2, "known_on": None, "source": None}
    ]


@pytest.mark.parametrize(
    ("asset_class", "calendar", "message"),
    [("stock", "XNYS", "asset_class is none of crypto, .*: A stock"), ("equity", "NYSE?", "A: .*NYSE")],
)
def test_unknown_instruments_are_refused(asset_class: str, calendar: str, message: str) -> None:
    row = {"symbol": "A", "asset_class": "equity", "calendar": "XNYS", "active": "false"}
    assert feeds.instruments(pl.DataFrame([row]))["active"].to_list() == [False]
    with pytest.raises(TableError, match=message):
        feeds.instruments(pl.DataFrame([row | {"asset_class": asset_class, "calendar": calendar}]))


def test_the_model_s_clock_is_optional_and_must_exist() -> None:
    row = {"symbol": "600519.SH", "asset_class": "equity", "calendar": "XSHG"}
    assert feeds.instruments(pl.DataFrame([row]))["model_time_zone"].to_list() == [None]
    zones = pl.DataFrame([row | {"model_time_zone": "Asia/Shanghai"}])
    assert feeds.instruments(zones)["model_time_zone"].to_list() == ["Asia/Shanghai"]
    with pytest.raises(TableError, match=r"no IANA time zone such as Asia/Shanghai: 600519\.SH Shanghai"):
        feeds.instruments(pl.DataFrame([row | {"model_time_zone": "Shanghai"}]))


def test_candles_are_stamped_with_their_open_or_their_close() -> None:
    row = {"symbol": "A", "asset_class": "fx", "calendar": "FX"}
    assert feeds.instruments(pl.DataFrame([row]))["stamp"].to_list() == [None]
    assert feeds.instruments(pl.DataFrame([row | {"stamp": "close"}]))["stamp"].to_list() == ["close"]
    with pytest.raises(TableError, match=r"stamp is none of open, close: A end"):
        feeds.instruments(pl.DataFrame([row | {"stamp": "end"}]))


def test_aliases_currency_and_tick_size() -> None:
    row = {"symbol": "A", "asset_class": "fx", "calendar": "FX"}
    given = pl.DataFrame([row | {"aliases": "B; C/D;B", "currency": "USDT", "tick_size": "1e-5"}])
    assert feeds.instruments(given).select("aliases", "currency", "tick_size").row(0) == (
        ["B", "C/D"],
        "USDT",
        1e-5,
    )
    of_list = feeds.instruments(pl.DataFrame([row | {"aliases": ["B", "C"]}]))
    assert of_list["aliases"].to_list() == [["B", "C"]]
    assert feeds.instruments(pl.DataFrame([row]))["aliases"].to_list() == [None]
    for about, message in (
        ({"currency": "usd"}, "currency is no code in capital letters, such as USD, GBX or USDT: A usd"),
        ({"tick_size": 0.0}, "tick_size is not above zero: A 0.0"),
        ({"tick_size": "small"}, "tick_size is not a number"),
    ):
        with pytest.raises(TableError, match=message):
            feeds.instruments(pl.DataFrame([row | about]))


def test_an_anchor_and_a_timeframe_to_aggregate_from_are_checked() -> None:
    row = {"symbol": "A", "asset_class": "fx", "calendar": "FX"}
    both = feeds.instruments(pl.DataFrame([row | {"anchor": "00:00 UTC", "aggregate_from": "60m"}]))
    assert both.select("anchor", "aggregate_from").row(0) == ("00:00 UTC", "1h")
    with pytest.raises(TableError, match="A: anchor 'noon' is no time of day with a time zone"):
        feeds.instruments(pl.DataFrame([row | {"anchor": "noon"}]))
    with pytest.raises(TableError, match="A: unknown timeframe '3h'; expected one of 1m"):
        feeds.instruments(pl.DataFrame([row | {"aggregate_from": "3h"}]))


@pytest.mark.parametrize("timeframe", ["1h", "1d"])
def test_the_shared_candles(market_data: Path, timeframe: str) -> None:
    candles = feeds.candles(read_file(market_data / f"candles_{timeframe}.parquet"), timeframe)
    notes = candle_notes(candles, timeframe, default_instruments())
    # The feed of EURUSD has no Sunday evenings from 2022 on; nothing is said of the 25 other series.
    assert [note.split(":")[0] for note in notes] == (["EURUSD"] if timeframe == "1h" else [])


def test_the_shared_calendar(market_data: Path) -> None:
    calendar = feeds.calendar(read_file(market_data / "economic_calendar.parquet"))
    cpi = calendar.filter(pl.col("event_time") == datetime(2022, 6, 10, 12, 30, tzinfo=UTC), title="CPI m/m")
    assert cpi.select("actual", "forecast", "time_known").row(0) == (1.0, 0.7, True)
    assert calendar.filter(event_type="earnings")["symbol"].null_count() == 0
    unscheduled = (
        calendar.filter(title="Federal Funds Rate", scheduled=False)["event_time"].dt.date().to_list()
    )
    assert unscheduled == [date(2020, 3, 3), date(2020, 3, 15)]
