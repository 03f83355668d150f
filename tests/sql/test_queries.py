"""Queries on a real Postgres: the rows that they return, their order, and the rows that they leave out."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from market.timeframes import CANDLE_TABLE
from sql.loading import load, load_for_table

START = datetime(2022, 6, 15, tzinfo=UTC)
PREDICTION: dict[str, Any] = {
    "symbol": "EURUSD",
    "timeframe": "1h",
    "as_of": START,
    "model_name": "kronos-base",
    "model_version": "abc",
    "pred_len": 2,
    "timestamps": [START + timedelta(hours=1), START + timedelta(hours=2)],
    "p10": [1.0, 0.9],
    "p50": [1.1, 1.1],
    "p90": [1.2, 1.3],
    "seed": 2**63 - 1,
    "event_context": None,
    "p10_calibrated": None,
    "p90_calibrated": None,
    "samples": None,
    "warnings": None,
    "fingerprint": None,
    "statistics": None,
}
# Queries of programs outside this product that read ml_predictions, and the columns that they read.
COLUMNS = """
    symbol, timeframe, as_of, model_name, model_version, pred_len, timestamps, p10, p50, p90, seed,
    created_at, updated_at, event_context
"""
LATEST_OF_EACH_MODEL = f"""
    SELECT DISTINCT ON (model_name) {COLUMNS} FROM ml_predictions
    WHERE symbol = %(symbol)s AND timeframe = %(timeframe)s
    ORDER BY model_name, as_of DESC
"""
UNDER_EVENT = f"""
    SELECT {COLUMNS} FROM ml_predictions
    WHERE event_context -> 'events_active' ? %(event)s
    ORDER BY as_of DESC, symbol, timeframe, model_name
"""


def fetch(
    database: psycopg.Connection, query: LiteralString | sql.Composed, **parameters: Any
) -> list[dict[str, Any]]:
    return database.cursor(row_factory=dict_row).execute(query, parameters).fetchall()


def rows(database: psycopg.Connection, name: str, **parameters: Any) -> list[dict[str, Any]]:
    return fetch(database, load(name), **parameters)


def add_candles(database: psycopg.Connection, table: str, symbol: str, count: int) -> None:
    database.execute(
        f"INSERT INTO {table} SELECT %s, %s + i * interval '1h', i, i, i, i FROM generate_series(1, %s) AS i",
        (symbol, START, count),
    )


@pytest.mark.parametrize("table", CANDLE_TABLE.values())
class TestCandles:
    def test_the_last_n_candles_of_each_symbol_are_returned_oldest_first(
        self, database: psycopg.Connection, table: str
    ) -> None:
        for symbol, count in (("B", 10), ("A", 3), ("C", 5)):
            add_candles(database, table, symbol, count)
        candles = fetch(
            database,
            load_for_table("candles", table),
            symbols=["B", "A", "X", "A"],
            n=4,
            before=START + timedelta(hours=9),
        )
        assert [(row["symbol"], row["close"]) for row in candles] == [
            *(("A", close) for close in (1, 2, 3)),
            *(("B", close) for close in (5, 6, 7, 8)),
        ]
        assert list(candles[0]) == ["symbol", "ts", "open", "high", "low", "close", "volume", "amount"]
        assert candles[0]["ts"] == START + timedelta(hours=1)

    def test_numeric_columns_are_returned_as_floats(self, database: psycopg.Connection, table: str) -> None:
        for column in ("open", "high", "low", "close", "volume", "amount"):
            database.execute(f"ALTER TABLE {table} ALTER {column} TYPE numeric(20, 8)")
        database.execute(f"INSERT INTO {table} VALUES ('A', %s, 1, 2, 0.5, 1.5, 100, 150)", (START,))
        (row,) = fetch(database, load_for_table("candles", table), symbols=["A"], n=1, before="infinity")
        assert [type(value) for value in list(row.values())[2:]] == [float] * 6

    def test_infinite_timestamps_are_left_out(self, database: psycopg.Connection, table: str) -> None:
        for ts in ("-infinity", "2022-01-01", "infinity"):
            database.execute(f"INSERT INTO {table} VALUES ('A', %s, 1, 1, 1, 1)", (ts,))
        candles = fetch(database, load_for_table("candles", table), symbols=["A"], n=9, before="infinity")
        assert [row["ts"].year for row in candles] == [2022]


def test_the_calendar_window_includes_its_start_and_excludes_its_end(database: psycopg.Connection) -> None:
    for hour in (17, 18, 19):
        database.execute(
            "INSERT INTO economic_calendar (event_time, event_type, title, actual) "
            "VALUES (%s, 'fomc', 'Rate', 2)",
            (START.replace(hour=hour),),
        )
    (row,) = rows(database, "calendar_window", start=START.replace(hour=18), end=START.replace(hour=19))
    assert row == {
        "event_time": START.replace(hour=18), "time_known": True, "scheduled": True, "country": None,
        "currency": None, "symbol": None, "event_type": "fomc", "title": "Rate", "impact": None,
        "actual": 2.0, "forecast": None, "previous": None, "hawkish_score": None, "source": None,
        "withdrawn_at": None,
    }  # fmt: skip


def test_the_window_of_central_bank_rates(database: psycopg.Connection) -> None:
    decision = {
        "bank": "FED", "decision_time": START, "time_known": None, "scheduled": False, "rate": 1.75,
        "previous": 1.0, "forecast": 1.5, "source": None,
    }  # fmt: skip
    database.execute(load("upsert_central_bank_rates"), decision)
    (row,) = rows(database, "central_bank_rates_window", start=START, end=START + timedelta(days=1))
    assert row == decision | {"time_known": True}
    assert (
        rows(database, "central_bank_rates_window", start=START + timedelta(1), end=START + timedelta(2))
        == []
    )


@pytest.mark.parametrize(
    ("day", "known_on"),
    [
        (date(2024, 6, 13), date(2024, 6, 14)),  # Thursday
        (date(2024, 6, 14), date(2024, 6, 17)),  # Friday
        (date(2024, 6, 15), date(2024, 6, 17)),  # Saturday
        (date(2024, 6, 16), date(2024, 6, 17)),  # Sunday
    ],
)
def test_an_indicator_without_known_on_counts_as_known_on_the_next_business_day(
    database: psycopg.Connection, day: date, known_on: date
) -> None:
    database.execute("ALTER TABLE economic_indicators DROP CONSTRAINT economic_indicators_pkey")
    database.execute("ALTER TABLE economic_indicators ALTER known_on DROP NOT NULL")
    database.execute(
        "INSERT INTO economic_indicators (series_id, date, value) VALUES ('VIXCLS', %s, 13)", (day,)
    )
    window = {"start": datetime(2024, 6, 1, tzinfo=UTC), "end": datetime(2024, 7, 1, tzinfo=UTC)}
    assert rows(database, "economic_indicator", series_id="VIXCLS", **window) == [
        {"date": day, "value": 13.0, "known_on": known_on}
    ]


def test_a_rerun_overwrites_its_forecast_except_created_at(database: psycopg.Connection) -> None:
    database.execute(load("upsert_prediction"), PREDICTION)
    (first,) = fetch(database, LATEST_OF_EACH_MODEL, symbol="EURUSD", timeframe="1h")
    context = {"events_active": ["fomc"]}
    database.execute(
        load("upsert_prediction"), PREDICTION | {"p50": [1.15, 1.2], "event_context": Jsonb(context)}
    )
    (second,) = fetch(database, LATEST_OF_EACH_MODEL, symbol="EURUSD", timeframe="1h")
    assert first == {name: PREDICTION.get(name, first[name]) for name in first}
    assert len(set(first) & set(PREDICTION)) == 12
    assert second["p50"] == [1.15, 1.2]
    assert second["event_context"] == context
    assert second["created_at"] == first["created_at"]
    assert second["updated_at"] > first["updated_at"]


def test_a_reader_gets_the_latest_forecast_of_each_model(database: psycopg.Connection) -> None:
    for model in ("kronos-base", "kronos-mini"):
        for day in (1, 3, 2):
            changed = {"model_name": model, "as_of": START + timedelta(days=day)}
            database.execute(load("upsert_prediction"), PREDICTION | changed)
    latest = fetch(database, LATEST_OF_EACH_MODEL, symbol="EURUSD", timeframe="1h")
    assert [(row["model_name"], row["as_of"]) for row in latest] == [
        ("kronos-base", START + timedelta(days=3)),
        ("kronos-mini", START + timedelta(days=3)),
    ]


def test_predictions_under_an_event_are_read_through_the_index(database: psycopg.Connection) -> None:
    database.execute(
        """
        INSERT INTO ml_predictions
            (symbol, timeframe, as_of, model_name, pred_len, timestamps, p10, p50, p90, event_context)
        SELECT 'S' || i, '1h', %s, 'm', 0, '{}', '{}', '{}', '{}', CASE i %% 100
            WHEN 0 THEN '{"events_active": ["fomc", "cpi"]}'
            WHEN 1 THEN '{"events_active": ["nfp"]}' END::jsonb
        FROM generate_series(1, 20000) AS i
        """,
        (START,),
    )
    database.execute("ANALYZE ml_predictions")
    assert len(fetch(database, UNDER_EVENT, event="fomc")) == 200
    assert len(fetch(database, UNDER_EVENT, event="nfp")) == 200
    assert fetch(database, UNDER_EVENT, event="earnings") == []
    plan = database.execute("EXPLAIN " + UNDER_EVENT, {"event": "fomc"}).fetchall()
    assert any("ml_predictions_events_active" in line for (line,) in plan), plan


def test_registering_an_instrument_keeps_changes_made_by_a_user(database: psycopg.Connection) -> None:
    gold = {
        "symbol": "GOLD", "asset_class": "commodity", "calendar": "CMES", "allow_nonpositive": None,
        "model_time_zone": "Asia/Tokyo", "anchor": "00:00 UTC", "aggregate_from": None,
        "only_whole_candles": None, "stamp": None, "aliases": None, "currency": "USD", "tick_size": None,
    }  # fmt: skip
    database.execute(load("register_instruments"), gold)
    changed = {
        "asset_class": "metal", "calendar": "FX", "model_time_zone": None, "anchor": None, "active": False,
        "aggregate_from": "5m",
    }  # fmt: skip
    database.execute(load("upsert_instruments"), gold | changed)
    database.execute(load("register_instruments"), gold)
    assert rows(database, "instruments") == [
        gold
        | changed
        | {
            "allow_nonpositive": False, "model_time_zone": "Asia/Tokyo", "anchor": None,
            "only_whole_candles": False, "stamp": "open", "aliases": [],
        }
    ]  # fmt: skip
    kept = {
        "active": False, "aggregate_from": "5m", "only_whole_candles": False, "stamp": "open", "aliases": [],
    }  # fmt: skip
    database.execute(load("upsert_instruments"), gold | {"allow_nonpositive": True, "active": None})
    assert rows(database, "instruments") == [gold | kept | {"allow_nonpositive": True}]
    database.execute(load("upsert_instruments"), gold | {"active": None, "anchor": None})
    assert rows(database, "instruments") == [gold | kept | {"allow_nonpositive": True}]


def test_the_model_time_zone_is_utc_unless_set(database: psycopg.Connection) -> None:
    database.execute(
        "INSERT INTO instruments (symbol, asset_class, calendar) VALUES ('OLD', 'equity', 'XSHG')"
    )
    bitcoin = {"symbol": "BTC", "asset_class": "crypto", "calendar": "24/7", "model_time_zone": "UTC"}
    database.execute(load("register_instruments"), bitcoin)
    assert [row["model_time_zone"] for row in rows(database, "instruments")] == ["UTC", "UTC"]
    assert database.execute("SELECT DISTINCT model_time_zone FROM instruments").fetchall() == [(None,)]
