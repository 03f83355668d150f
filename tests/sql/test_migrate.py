"""Migrations on an empty database and on older tables with rows; repeated, concurrent and failing ones."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.json import Jsonb

import sql.migrate as module
from market.timeframes import CANDLE_TABLE
from sql.connect import connect
from sql.errors import DatabaseError
from sql.loading import load, load_for_table
from sql.migrate import Migration, migrate, migrations, status
from tests.helpers.databases import OLDER_TABLES, build_older

COLUMNS = {
    "ohlcv_1h": "symbol ts open high low close volume amount",
    "ohlcv_1d": "symbol ts open high low close volume amount",
    "instruments": "symbol asset_class calendar active allow_nonpositive model_time_zone",
    "economic_calendar": "event_time time_known scheduled country currency symbol event_type title impact "
    "actual forecast previous hawkish_score source withdrawn_at",
    "central_bank_rates": "bank decision_time time_known scheduled rate previous forecast source",
    "economic_indicators": "series_id date value known_on source",
    "ml_predictions": "symbol timeframe as_of model_name model_version pred_len timestamps p10 p50 p90 seed "
    "created_at updated_at event_context p10_calibrated p90_calibrated samples "
    "warnings fingerprint statistics scored_at backfilled",
    "prediction_scores": "symbol timeframe as_of model_name model_version pred_len matured_at last_close "
    "actual covered covered_calibrated pinball abs_error direction_hit crps events_active step_events "
    "event_day forecast_updated_at backfilled",
    "prediction_calibration": "timeframe model_name model_version asset_class as_of low high counts",
    "scored_closes": "timeframe symbol ts close forecasts_from",
    "scored_releases": "timeframe symbol day releases",
    "feed_loads": "target source symbol version days day_rows loaded_at",
    "flow_runs": "deployment flow timeframe started_at ended_at state succeeded_at counts without_events",
    "symbol_runs": "timeframe symbol succeeded_at with_events",
    "recent_coverage": "timeframe asset_class model_name computed_at closes covered closes_calibrated "
    "covered_calibrated",
}


@pytest.fixture
def empty(empty_database_url: str) -> Iterator[psycopg.Connection]:
    with connect(empty_database_url, autocommit=True) as connection:
        yield connection


def rows_of(connection: psycopg.Connection, table: str, columns: list[str]) -> list[tuple[Any, ...]]:
    query = sql.SQL("SELECT {} FROM {} ORDER BY 1, 2").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(table)
    )
    return connection.execute(query).fetchall()


def columns_of(connection: psycopg.Connection, table: str) -> list[str]:
    description = connection.execute("SELECT * FROM " + table + " LIMIT 0").description
    assert description is not None
    return [column.name for column in description]


def test_an_empty_database_gets_every_table(empty: psycopg.Connection) -> None:
    seen: list[Migration] = []
    assert [item.applied_at for item in status(empty)] == [None] * len(migrations())
    assert migrate(empty, seen.append) == migrations() == seen
    for table, columns in COLUMNS.items():
        assert set(columns.split()) <= set(columns_of(empty, table))
    names = columns_of(empty, "ml_predictions")
    assert names[names.index("updated_at") + 1] == "event_context"
    assert names[-3:] == ["statistics", "scored_at", "backfilled"]
    assert all(item.applied_at for item in status(empty))
    assert migrate(empty) == []


def test_every_migration_may_run_twice(empty: psycopg.Connection) -> None:
    migrate(empty)
    empty.execute("DELETE FROM kronos_migrations")
    assert migrate(empty) == migrations()


@pytest.mark.parametrize("table", OLDER_TABLES)
def test_an_older_table_keeps_its_rows_and_gets_the_new_columns(
    empty: psycopg.Connection, table: str
) -> None:
    build_older(empty, table)
    columns = columns_of(empty, table)
    before = rows_of(empty, table, columns)
    assert before
    migrate(empty)
    assert rows_of(empty, table, columns) == before
    assert set(COLUMNS[table].split()) <= set(columns_of(empty, table))


def test_upserts_into_migrated_older_tables(empty: psycopg.Connection) -> None:
    build_older(empty, *OLDER_TABLES)
    migrate(empty)
    prediction = {
        "symbol": "S1", "timeframe": "1d", "as_of": datetime(2024, 1, 1, tzinfo=UTC),
        "model_name": "kronos-base", "model_version": "2", "pred_len": 1,
        "timestamps": [datetime(2024, 1, 2, tzinfo=UTC)], "p10": [1.5], "p50": [2.5], "p90": [3.5], "seed": 7,
        "event_context": Jsonb({"events_active": ["fomc"]}),
        "p10_calibrated": None, "p90_calibrated": None, "samples": None,
        "warnings": None, "fingerprint": None, "statistics": None,
    }  # fmt: skip
    empty.execute(load("upsert_prediction"), prediction)
    query = "SELECT p50, seed, updated_at IS NULL, event_context FROM ml_predictions WHERE symbol = %s"
    assert empty.execute(query, ["S1"]).fetchall() == [([2.5], 7, False, {"events_active": ["fomc"]})]
    assert empty.execute(query, ["S2"]).fetchall() == [([2.0], None, True, None)]
    calendar = empty.execute("SELECT scheduled, time_known FROM economic_calendar").fetchall()
    assert calendar == [(True, True)] * 2


def test_an_existing_key_gets_no_second_index(empty: psycopg.Connection) -> None:
    build_older(empty, "ohlcv_1d", "ohlcv_1h")
    migrate(empty)
    indexes = empty.execute(
        "SELECT tablename, count(*) FROM pg_indexes "
        "WHERE tablename IN ('ohlcv_1h', 'ohlcv_1d') GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert indexes == [("ohlcv_1d", 2), ("ohlcv_1h", 1)]


def test_the_event_context_migration_is_exactly_one_statement() -> None:
    (file,) = (
        file
        for file in resources.files("sql").joinpath("migrations").iterdir()
        if file.name.endswith("_event_context.sql")
    )
    assert file.read_text(encoding="utf-8") == (
        "ALTER TABLE ml_predictions ADD COLUMN IF NOT EXISTS event_context JSONB DEFAULT NULL;\n"
    )


class TestDuplicateKeys:
    def test_predictions_with_duplicate_keys_are_listed_and_kept(self, empty: psycopg.Connection) -> None:
        build_older(empty, "ml_predictions")
        again = "SELECT symbol, timeframe, as_of, model_name FROM ml_predictions WHERE symbol IN ('S7', 'S8')"
        empty.execute(f"INSERT INTO ml_predictions (symbol, timeframe, as_of, model_name) {again}")
        with pytest.raises(DatabaseError) as stop:
            migrate(empty)
        message = str(stop.value)
        assert "row_keys failed: 2 keys (symbol, timeframe, as_of, model_name) of ml_predictions" in message
        assert "(S7, 1d, 2024-01-01 00:00:00+00, kronos-base): 2 rows" in message
        assert "(S8, 1d, 2024-01-01 00:00:00+00, kronos-base): 2 rows" in message
        assert "S9" not in message
        assert empty.execute("SELECT count(*) FROM ml_predictions").fetchone() == (502,)
        pending = [item.migration.name for item in status(empty) if item.applied_at is None]
        assert pending[:2] == ["row_keys", "economic_calendar_key"]

        empty.execute("DELETE FROM ml_predictions WHERE pred_len IS NULL")
        assert [migration.name for migration in migrate(empty)] == pending

    def test_a_long_list_is_truncated_with_a_count(self, empty: psycopg.Connection) -> None:
        build_older(empty, "ml_predictions")
        empty.execute(
            "INSERT INTO ml_predictions (symbol, timeframe, as_of, model_name) "
            "SELECT symbol, timeframe, as_of, model_name FROM ml_predictions"
        )
        with pytest.raises(DatabaseError, match=r"500 keys[^…]+… and 450 more\nKeep one row of each key"):
            migrate(empty)

    def test_rows_with_a_null_in_the_key_are_accepted(self, empty: psycopg.Connection) -> None:
        build_older(empty, "ml_predictions")
        empty.execute(
            "UPDATE ml_predictions SET model_name = NULL, symbol = 'S' WHERE symbol IN ('S7', 'S8')"
        )
        assert migrate(empty) == migrations()

    def test_events_with_duplicate_natural_keys_are_listed(self, empty: psycopg.Connection) -> None:
        build_older(empty, "economic_calendar")
        empty.execute(
            "INSERT INTO economic_calendar (event_time, event_type, title) "
            "SELECT event_time, event_type, title FROM economic_calendar WHERE currency IS NULL"
        )
        with pytest.raises(DatabaseError, match=r"1 events of economic_calendar[^§]+cpi, CPI y/y\): 2 rows"):
            migrate(empty)
        assert empty.execute("SELECT count(*) FROM economic_calendar").fetchone() == (3,)


def test_a_failed_migration_is_rolled_back(
    empty: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = [
        Migration("20200101000000", "good", "CREATE TABLE good (x int); -- and a comment at the end"),
        Migration("20200101000001", "bad", "CREATE TABLE half (x int); SELECT 1 / 0"),
    ]
    monkeypatch.setattr(module, "migrations", lambda: planned)
    with pytest.raises(DatabaseError, match="migration 20200101000001_bad failed: division by zero"):
        migrate(empty)
    assert empty.execute("SELECT to_regclass('good'), to_regclass('half')").fetchone() == ("good", None)
    assert [item.applied_at is None for item in status(empty)] == [False, True]


def test_an_owner_without_superuser_rights_can_migrate(empty: psycopg.Connection) -> None:
    name = f"owner_of_{empty.info.dbname}"
    empty.execute(f"CREATE ROLE {name}; ALTER DATABASE {empty.info.dbname} OWNER TO {name}")
    empty.execute(f"SET ROLE {name}")
    build_older(empty, *OLDER_TABLES)
    assert migrate(empty) == migrations()


def test_concurrent_runs_apply_each_migration_once(empty_database_url: str) -> None:
    def run(_: int) -> list[Migration]:
        with connect(empty_database_url, autocommit=True) as connection:
            return migrate(connection)

    with ThreadPoolExecutor(4) as pool:
        applied = [migration for part in pool.map(run, range(4)) for migration in part]
    assert sorted(applied, key=lambda migration: migration.version) == migrations()


def test_a_connection_without_autocommit_is_rejected(empty_database_url: str) -> None:
    with connect(empty_database_url) as connection, pytest.raises(DatabaseError, match="autocommit"):
        migrate(connection)


def test_the_servers_role_reads_its_tables_and_writes_none(database: psycopg.Connection) -> None:
    role = resources.files("sql").joinpath("roles", "server.sql").read_text(encoding="utf-8")
    for _ in range(2):
        database.execute(role)
    database.execute("SET ROLE kronos_server")
    window = {"symbols": ["A"], "n": 1, "before": datetime.now(UTC) + timedelta(days=1)}
    for table in CANDLE_TABLE.values():
        assert database.execute(load_for_table("candles", table), window).fetchall() == []
    assert database.execute(load("instruments")).fetchall() == []
    key = {"symbol": "A", "timeframe": "1h", "as_of": None, "model_name": None}
    for query in ("stored_prediction", "prediction_inputs"):
        assert database.execute(load(query), key).fetchall() == []
    database.execute("SELECT FROM economic_calendar")
    for statement in ("SELECT FROM central_bank_rates", "DELETE FROM ohlcv_1h", "DELETE FROM ml_predictions"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            database.execute(statement)
    database.execute("RESET ROLE")
    database.execute("ALTER ROLE kronos_server PASSWORD 'only for this test'")
    info = conninfo_to_dict(database.info.dsn)
    place: dict[str, Any] = {name: info[name] for name in ("host", "port", "dbname")}
    with psycopg.connect(**place, user="kronos_server", password="only for this test") as server:
        assert server.execute("SHOW statement_timeout").fetchone() == ("15s",)
        server.execute(load_for_table("candles", "ohlcv_1h"), window)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            server.execute("CREATE TABLE mine (a int)")
