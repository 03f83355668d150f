from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import psycopg
import pytest

from flows.events import EventConfig, EventError, EventRequest, EventResult, build_event_arrays
from flows.events.source import read_sources, span_of
from flows.forecasting.event_sources import SourcesOfRun
from market.instruments import Instrument
from sql.loading import load
from tests.helpers.event_markets import Market, at
from tests.helpers.event_results import array_of


@pytest.fixture
def filled(database: psycopg.Connection, market: Market) -> psycopg.Connection:
    """The database as on June 17, 2022, with the schedule of the months after."""
    now = at("2022-06-17T00:00")
    recent = pl.col("event_time").is_between(now - timedelta(days=2000), now + timedelta(days=300))
    calendar = market.calendar.filter(recent & (pl.col("currency") == "USD"))
    leaders = pl.col("symbol").is_in(["BTC-USD", "SPY", "DXY", "VIX"])
    with database.cursor() as cursor:
        columns = ", ".join(calendar.columns)
        with cursor.copy(f"COPY economic_calendar ({columns}) FROM STDIN") as copy:
            for row in calendar.iter_rows():
                copy.write_row(row)
        for timeframe, candles in market.candles.items():
            days = {"1h": 60, "1d": 2000}[timeframe]
            kept = candles.filter(leaders & pl.col("ts").is_between(now - timedelta(days=days), now))
            with cursor.copy(
                f"COPY ohlcv_{timeframe} (symbol, ts, open, high, low, close, volume) FROM STDIN"
            ) as copy:
                for row in kept.iter_rows():
                    copy.write_row(row)
    return database


def events_from_database(
    connection: psycopg.Connection,
    requests: Sequence[EventRequest],
    config: EventConfig,
    sources_of_run: SourcesOfRun | None = None,
) -> dict[str, EventResult]:
    """Read the tables, for the whole run if its sources are passed, and build the event arrays."""
    if sources_of_run is None:
        sources, reach = read_sources(connection, span_of(requests), config), None
    else:
        sources, reach = sources_of_run.read(connection, config), sources_of_run.reach
    return build_event_arrays(requests, sources.calendar, sources.leaders, config, sources.rates, reach)


@pytest.mark.parametrize(("symbol", "timeframe"), [("BTC-USD", "1h"), ("EURUSD", "1h"), ("SPY", "1d")])
def test_arrays_from_the_database_are_those_from_the_files(
    market: Market, filled: psycopg.Connection, symbol: str, timeframe: str
) -> None:
    request = market.request(symbol, timeframe, "2022-06-15T19:00")
    calendar = market.calendar.filter(pl.col("currency") == "USD")
    expected = market.build(request, calendar)
    found = events_from_database(filled, [request], market.config)[symbol]
    np.testing.assert_array_equal(found.array, expected.array)
    assert found.context == expected.context
    assert found.warnings == expected.warnings


def test_each_table_is_read_once_for_all_symbols(
    market: Market, filled: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [market.request(each, "1h", "2022-06-15T19:00") for each in ("BTC-USD", "EURUSD", "ETH-USD")]
    read: list[str] = []
    execute = psycopg.Cursor.execute

    def counted(cursor: Any, query: Any, *args: Any, **settings: Any) -> Any:
        if "UNION ALL" not in _text(query):  # whether a leader that is missing has finer candles
            read.append(_text(query))
        return execute(cursor, query, *args, **settings)

    monkeypatch.setattr(psycopg.Cursor, "execute", counted)
    together = events_from_database(filled, requests, market.config)
    tables = ("economic_calendar", "central_bank_rates", "ohlcv_1h", "ohlcv_1d")
    assert [sum(f"FROM {table}" in query for query in read) for table in tables] == [1, 1, 1, 1]
    assert len(read) == 4
    read.clear()
    sources = SourcesOfRun()
    sources.include(requests)
    for request in requests:  # one block after another
        found = events_from_database(filled, [request], market.config, sources)[request.symbol]
        np.testing.assert_array_equal(found.array, together[request.symbol].array)
        assert found.warnings == together[request.symbol].warnings
    assert len(read) == 4


def _text(query: str | psycopg.sql.Composable) -> str:
    """Return a query without the quotation marks of its identifiers."""
    return (query if isinstance(query, str) else query.as_string()).replace('"', "")


def test_vixcls_is_read_where_there_are_no_candles_of_the_vix(
    market: Market, filled: psycopg.Connection
) -> None:
    request = market.request("SPY", "1d", "2022-06-15T22:00")
    filled.execute(
        "INSERT INTO economic_indicators (series_id, date, value, known_on)"
        " SELECT 'VIXCLS', ts::date, close, ts::date + 1 FROM ohlcv_1d WHERE symbol = 'VIX'"
    )
    filled.execute("DELETE FROM ohlcv_1d WHERE symbol = 'VIX'")
    sources = read_sources(filled, span_of([request]), market.config)
    assert sources.leaders.vixcls is not None
    assert sources.leaders.vixcls["value"].len() > 500
    result = events_from_database(filled, [request], market.config)["SPY"]
    np.testing.assert_array_equal(array_of(result)[:, 17], array_of(market.build(request))[:, 17])
    assert not any("VIX" in each for each in result.warnings)


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_a_session_s_time_zone_changes_nothing(market: Market, filled: psycopg.Connection, zone: str) -> None:
    """A pooler may hand a transaction to a session that was never told to use UTC."""
    filled.execute(
        "INSERT INTO economic_indicators (series_id, date, value, known_on)"
        " SELECT 'VIXCLS', ts::date, close, ts::date + 1 FROM ohlcv_1d WHERE symbol = 'VIX'"
    )
    filled.execute("DELETE FROM ohlcv_1d WHERE symbol = 'VIX'")
    request = market.request("SPY", "1d", "2022-06-15T22:00")
    expected = events_from_database(filled, [request], market.config)["SPY"]
    bounds = {"series_id": "VIXCLS", "start": "2022-06-01T00:00Z", "end": "2022-06-15T00:00Z"}
    dates = filled.execute(load("economic_indicator"), bounds).fetchall()
    filled.execute(f"SET TimeZone = '{zone}'")
    assert filled.execute(load("economic_indicator"), bounds).fetchall() == dates
    found = events_from_database(filled, [request], market.config)["SPY"]
    np.testing.assert_array_equal(found.array, expected.array)
    assert found.context == expected.context


def test_rates_of_central_banks_are_read(market: Market, filled: psycopg.Connection) -> None:
    filled.execute(
        "INSERT INTO central_bank_rates (bank, decision_time) VALUES ('Norges Bank', '2022-06-14 09:10Z')"
    )
    request = market.request("EURUSD", "1h", "2022-06-15T19:00")
    array = array_of(events_from_database(filled, [request], market.config)["EURUSD"])
    assert array[np.flatnonzero(request.timestamps == np.datetime64("2022-06-14T09:00"))[0], 9] == 1.0


def test_an_empty_calendar_is_an_error_that_says_how_to_fill_it(
    market: Market, filled: psycopg.Connection
) -> None:
    filled.execute("DELETE FROM economic_calendar")
    request = market.request("EURUSD", "1h", "2022-06-15T19:00")
    with pytest.raises(EventError, match=r"no calendar rows between.*python -m flows\.load calendar"):
        events_from_database(filled, [request], market.config)


def test_a_leader_whose_calendar_is_unknown_is_an_error_that_names_it(
    market: Market, filled: psycopg.Connection
) -> None:
    request = market.request("EURUSD", "1h", "2022-06-15T19:00")
    wrong = {**market.config.leaders, "spy": Instrument("SPY", "index", "NOWHERE")}
    with pytest.raises(EventError, match=r"leader.*SPY.*unknown calendar 'NOWHERE'"):
        events_from_database(filled, [request], replace(market.config, leaders=wrong))
