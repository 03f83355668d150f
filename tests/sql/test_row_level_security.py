"""Privileges on migrated tables: on plain Postgres, and with Supabase's default privileges."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources

import psycopg
import pytest

from sql.__main__ import main
from sql.connect import connect
from sql.migrate import migrate, migrations
from tests.helpers.databases import OLDER_TABLES, build_older

OPEN_ROLES = ("anon", "authenticated")
# Supabase's default privileges in the schema public.
DEFAULTS = """
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
    GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;
"""
# Relations and functions that anon or authenticated can use, and tables without row level security.
REACHABLE = """
    SELECT format('%s can use %s (%s)', role, c.relname, c.relkind)
    FROM pg_class AS c, unnest(ARRAY['anon', 'authenticated']) AS role
    WHERE c.relnamespace = 'public'::regnamespace AND c.oid >= 'kronos_migrations'::regclass
        AND CASE
            WHEN c.relkind = 'S' THEN has_sequence_privilege(role, c.oid, 'USAGE, SELECT, UPDATE')
            WHEN c.relkind IN ('r', 'p', 'v', 'm', 'f') THEN has_table_privilege(
                role, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
            ELSE false
        END
    UNION ALL
    SELECT format('%s can call %s', role, p.proname)
    FROM pg_proc AS p, unnest(ARRAY['anon', 'authenticated']) AS role
    WHERE p.pronamespace = 'public'::regnamespace AND has_function_privilege(role, p.oid, 'EXECUTE')
    UNION ALL
    SELECT format('no row level security on %s', relname) FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relrowsecurity
        AND oid >= 'kronos_migrations'::regclass
"""
# The last migration of the release without row level security.
LAST_BEFORE = "20261122224700"
# The table that `migrate` makes before any other.
RECORDS = """
    CREATE TABLE kronos_migrations (
        version text PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
    )
"""
A_SCORE = """
    INSERT INTO prediction_scores (
        symbol, timeframe, as_of, model_name, pred_len, matured_at, actual, covered, pinball, abs_error,
        direction_hit, events_active
    ) VALUES ('A', '1h', now(), 'm', 1, now(), '{1}', '{t}', '{1}', '{1}', '{t}', '{}')
"""


@contextmanager
def acting_as(connection: psycopg.Connection, role: str) -> Iterator[None]:
    connection.execute(f'SET ROLE "{role}"')
    try:
        yield
    finally:
        connection.execute("RESET ROLE")


def make_role(connection: psycopg.Connection, name: str, options: str = "NOLOGIN") -> None:
    """Make a role unless it exists: roles belong to the server, which all tests share."""
    connection.execute(
        f"DO $$ BEGIN CREATE ROLE {name} {options}; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    )


@pytest.fixture
def supabase(empty_database_url: str) -> Iterator[psycopg.Connection]:
    """An empty database with Supabase's roles and default privileges."""
    with connect(empty_database_url, autocommit=True) as connection:
        for role in OPEN_ROLES:
            make_role(connection, role)
        make_role(connection, "service_role", "NOLOGIN BYPASSRLS")
        connection.execute(DEFAULTS)
        yield connection


def count(connection: psycopg.Connection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


def test_no_migrated_table_is_open_to_anon_and_authenticated(supabase: psycopg.Connection) -> None:
    """Fails for a new migration whose table has no row level security."""
    migrate(supabase)
    assert supabase.execute(REACHABLE).fetchall() == []
    for role in OPEN_ROLES:
        with acting_as(supabase, role):
            for statement in (
                "SELECT FROM ml_predictions",
                "SELECT FROM prediction_score_steps",
                "UPDATE prediction_calibration SET low = '{9999}'",
                "DELETE FROM kronos_migrations",
                "INSERT INTO instruments VALUES ('X', 'fx', 'FX')",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    supabase.execute(statement)


def test_a_migrated_installation_is_closed_except_to_its_readers(supabase: psycopg.Connection) -> None:
    """From the previous release, with a gateway that reads, a job that writes, and a reader of the view."""
    supabase.execute(RECORDS)
    for migration in migrations():
        if migration.version <= LAST_BEFORE:
            supabase.execute(migration.text)
            record = (migration.version, migration.name)
            supabase.execute("INSERT INTO kronos_migrations VALUES (%s, %s)", record)
    supabase.execute("INSERT INTO instruments VALUES ('A', 'fx', 'FX')")
    supabase.execute(A_SCORE)
    for role in ("gateway", "cron_job", "analyst"):
        make_role(supabase, role)
    supabase.execute("GRANT SELECT ON instruments, prediction_scores TO gateway")
    supabase.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON instruments TO cron_job")
    supabase.execute("GRANT SELECT ON prediction_score_steps TO analyst")
    assert len(supabase.execute(REACHABLE).fetchall()) > 20
    migrate(supabase)
    assert supabase.execute(REACHABLE).fetchall() == []
    with acting_as(supabase, "gateway"):
        assert (count(supabase, "instruments"), count(supabase, "prediction_scores")) == (1, 1)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            supabase.execute("DELETE FROM instruments")
    with acting_as(supabase, "cron_job"):
        supabase.execute("INSERT INTO instruments VALUES ('B', 'fx', 'FX')")
        assert supabase.execute("UPDATE instruments SET active = false").rowcount == 2
        assert supabase.execute("DELETE FROM instruments WHERE symbol = 'B'").rowcount == 1
    with acting_as(supabase, "analyst"):
        assert count(supabase, "prediction_score_steps") == 1
    with acting_as(supabase, "service_role"):
        assert count(supabase, "instruments") == 1


def test_tables_from_before_the_migrations_are_unchanged_and_reported(
    supabase: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    build_older(supabase, "instruments", "ml_predictions", "ohlcv_1h")
    supabase.execute("ALTER TABLE ohlcv_1h ENABLE ROW LEVEL SECURITY")
    assert main(["migrate"]) == 0
    out = capsys.readouterr().out
    assert "warning: anon or authenticated can use instruments, ml_predictions, which were here before" in out
    with acting_as(supabase, "anon"):
        assert count(supabase, "instruments") > 0
        assert count(supabase, "ohlcv_1h") == 0
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            supabase.execute("SELECT FROM prediction_inputs")


def test_on_plain_postgres_a_reader_sees_all_rows_as_before(empty_database_url: str) -> None:
    with connect(empty_database_url, autocommit=True) as connection:
        build_older(connection, *OLDER_TABLES)
        make_role(connection, "reader")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
        rows = {table: count(connection, table) for table in OLDER_TABLES}
        migrate(connection)
        with acting_as(connection, "reader"):
            assert {table: count(connection, table) for table in OLDER_TABLES} == rows


def test_a_grant_to_public_does_not_include_anon(supabase: psycopg.Connection) -> None:
    make_role(supabase, "reader_of_public")
    supabase.execute(RECORDS)
    supabase.execute("CREATE TABLE instruments (symbol text PRIMARY KEY, asset_class text, calendar text)")
    supabase.execute("INSERT INTO instruments VALUES ('A', 'fx', 'FX')")
    supabase.execute("GRANT SELECT ON instruments TO PUBLIC")
    migrate(supabase)
    with acting_as(supabase, "reader_of_public"):
        assert count(supabase, "instruments") == 1
    with acting_as(supabase, "anon"):
        assert count(supabase, "instruments") == 0


def test_the_servers_role_reads_tables_with_row_level_security(supabase: psycopg.Connection) -> None:
    build_older(supabase, "ohlcv_1h")
    supabase.execute("ALTER TABLE ohlcv_1h ENABLE ROW LEVEL SECURITY")
    migrate(supabase)
    rows = count(supabase, "ohlcv_1h")
    supabase.execute(resources.files("sql").joinpath("roles", "server.sql").read_text(encoding="utf-8"))
    with acting_as(supabase, "kronos_server"):
        assert count(supabase, "ohlcv_1h") == rows > 0
        assert count(supabase, "instruments") == 0


def test_who_writes_forecasts_records_runs_and_an_earlier_server_role_reads_them(
    supabase: psycopg.Connection,
) -> None:
    """An upgrade from the first release, on which both roles had their privileges."""
    supabase.execute(RECORDS)
    for migration in migrations():
        if migration.version <= LAST_BEFORE:
            supabase.execute(migration.text)
            record = (migration.version, migration.name)
            supabase.execute("INSERT INTO kronos_migrations VALUES (%s, %s)", record)
    make_role(supabase, "forecaster")
    make_role(supabase, "kronos_server", "LOGIN")  # as sql/roles/server.sql makes it
    supabase.execute("GRANT SELECT, INSERT, UPDATE ON ml_predictions TO forecaster")
    supabase.execute("GRANT SELECT ON ml_predictions TO kronos_server")
    migrate(supabase)
    row = ("predict-1h", "predict-batch", "1h", "2026-01-01Z", "2026-01-01Z", "Completed", None, "{}", 0)
    insert = f"INSERT INTO flow_runs VALUES ({', '.join(['%s'] * len(row))})"
    with acting_as(supabase, "forecaster"):
        supabase.execute(insert, row)
        supabase.execute("UPDATE flow_runs SET state = 'Failed'")
    with acting_as(supabase, "kronos_server"):
        assert count(supabase, "flow_runs") == 1
        assert count(supabase, "symbol_runs") == count(supabase, "recent_coverage") == 0
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            supabase.execute("DELETE FROM flow_runs")
