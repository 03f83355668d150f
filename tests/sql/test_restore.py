"""Backup and restore on a real Postgres: every row, sequence, privilege and policy is as it was."""

import os
import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sql import backup as backup_command
from sql import restore as restore_command
from sql.backup import backup
from sql.connect import connect
from sql.errors import DatabaseError
from sql.migrate import migrations, relation_names
from sql.restore import _copied, restore
from tests.helpers.databases import copy_database, in_database
from tests.market_data import ROOT

ROWS = (ROOT / "tests" / "first_release" / "rows.sql").read_text(encoding="utf-8")
READER = "backup_reader"
# Everything about privileges, policies, columns, indexes and sequences of the tables, as text.
CATALOGUE = """
    SELECT c.relname, c.relkind::text, c.relrowsecurity, c.relforcerowsecurity, c.reloptions::text,
        (SELECT array_agg(g ORDER BY g)::text FROM (
            SELECT a.grantee::regrole || a.privilege_type AS g FROM aclexplode(c.relacl) AS a
            WHERE a.grantee <> c.relowner) AS granted),
        (SELECT array_agg(p ORDER BY p.policyname)::text FROM pg_policies AS p WHERE p.tablename = c.relname),
        (SELECT array_agg(i.indexdef ORDER BY i.indexname)::text
            FROM pg_indexes AS i WHERE i.tablename = c.relname),
        (SELECT array_agg((k.column_name, k.data_type, k.column_default, k.is_nullable, k.is_identity)
            ORDER BY k.ordinal_position)::text
            FROM information_schema.columns AS k WHERE k.table_name = c.relname),
        (SELECT array_agg((o.conname, pg_get_constraintdef(o.oid)) ORDER BY o.conname)::text
            FROM pg_constraint AS o WHERE o.conrelid = c.oid),
        CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END,
        (SELECT q.last_value FROM pg_sequences AS q WHERE q.sequencename = c.relname)
    FROM pg_class AS c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v', 'S')
    ORDER BY c.relname
"""


@pytest.fixture(scope="module")
def reader(postgres_url: str) -> None:
    """A role of the server, which tables of several databases are granted to."""
    with connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {READER} NOLOGIN")


@pytest.fixture
def filled(database: psycopg.Connection[Any], database_url: str, reader: None) -> str:
    """URL of a database with rows in its tables, a policy for a reader, and a sequence that has moved on."""
    database.execute(ROWS)
    database.execute(f"GRANT SELECT ON ml_predictions TO {READER}")
    database.execute(f"CREATE POLICY reader ON ml_predictions FOR SELECT TO {READER} USING (true)")
    database.execute("""
        INSERT INTO economic_indicators (series_id, date, known_on, value)
        SELECT 'NUMBERS', date '2020-01-01' + n, date '2020-01-01' + n, exp(n / 7.0) / 3
        FROM generate_series(1, 400) AS n
    """)
    return database_url


def contents(url: str) -> dict[str, bytes]:
    """The rows of every table as COPY writes them, sorted."""
    rows = {}
    with connect(url) as connection, connection.cursor() as cursor:
        tables = cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        ).fetchall()
        for (table,) in tables:
            with cursor.copy(f'COPY "{table}" TO STDOUT') as copy:
                rows[table] = b"".join(sorted(bytes(row) for row in copy))
    return rows


def catalogue(url: str) -> list[tuple[Any, ...]]:
    with connect(url) as connection:
        return connection.execute(CATALOGUE).fetchall()


def test_the_names_are_those_of_a_migrated_database(database: psycopg.Connection[Any]) -> None:
    found = database.execute(
        "SELECT relname FROM pg_class "
        "WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')"
    )
    assert sorted(relation_names()) == sorted(name for (name,) in found)


@pytest.mark.parametrize("target", ["template0", "migrated"])
def test_a_round_trip_keeps_every_row_privilege_and_sequence(
    filled: str, postgres_url: str, migrated_template: str, tmp_path: Path, target: str
) -> None:
    file = tmp_path / "backup"
    before, described = contents(filled), catalogue(filled)
    manifest = backup(filled, file)
    url = copy_database(postgres_url, target)
    restored = restore(url, file)
    assert contents(url) == before
    assert catalogue(url) == described
    assert manifest.rows["economic_indicators"] >= 400
    assert manifest.rows == restored.manifest.rows
    # Roles belong to the server: the migrations give rights to kronos_server where another test has made it.
    assert {*manifest.roles} - {"kronos_server"} == {READER}
    assert restored.migrations == ()
    assert restored.new_roles == ()
    with connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO economic_calendar (event_time, event_type, title) VALUES (now(), 'cpi', 'later')"
        )


def test_rows_are_replaced_only_where_that_is_asked_for(filled: str, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    backup(filled, file)
    before = contents(filled)
    with connect(filled, autocommit=True) as connection:
        connection.execute("DELETE FROM economic_indicators WHERE date > '2020-06-01'")
        connection.execute("CREATE INDEX of_mine ON economic_indicators (value)")
    changed = contents(filled)
    with pytest.raises(DatabaseError, match=r"has rows: .* in economic_indicators.*give --replace"):
        restore(filled, file)
    assert contents(filled) == changed
    restore(filled, file, replace=True)
    assert contents(filled) == before


def test_a_restore_that_fails_changes_nothing(filled: str, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    backup(filled, file)
    with connect(filled, autocommit=True) as connection:
        connection.execute("CREATE VIEW of_mine AS SELECT * FROM prediction_scores")
    before = contents(filled)
    with pytest.raises(DatabaseError, match=r"psql failed: .*other objects depend on it"):
        restore(filled, file, replace=True)
    assert contents(filled) == before


def test_a_role_that_is_missing_is_made_without_the_right_to_log_in(
    filled: str, postgres_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "backup"
    with connect(filled, autocommit=True) as connection:
        connection.execute("CREATE ROLE of_another_server NOLOGIN")
        connection.execute("GRANT SELECT ON ohlcv_1h TO of_another_server")
        connection.execute("CREATE POLICY other ON ohlcv_1h FOR SELECT TO of_another_server USING (true)")
        backup(filled, file)
        described = catalogue(filled)
        connection.execute("DROP OWNED BY of_another_server")
        connection.execute("DROP ROLE of_another_server")
    url = copy_database(postgres_url, "template0")
    assert restore(url, file).new_roles == ("of_another_server",)
    assert catalogue(url) == described
    with connect(url, autocommit=True) as connection:
        can_log_in = connection.execute(
            "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'of_another_server'"
        ).fetchone()
    assert can_log_in == (False,)


def test_a_backup_of_an_older_release_is_migrated(postgres_url: str, tmp_path: Path) -> None:
    """Row level security is on for every table afterwards, as where the older database itself is migrated."""
    older = copy_database(postgres_url, "template0")
    with connect(older, autocommit=True) as connection:
        connection.execute((ROOT / "tests" / "first_release" / "layout.sql").read_text())
        connection.execute(ROWS)
    file = tmp_path / "backup"
    rows = backup(older, file).rows
    url = copy_database(postgres_url, "template0")
    restored = restore(url, file)
    assert restored.migrations
    with connect(url) as connection:
        applied = connection.execute("SELECT count(*) FROM kronos_migrations").fetchone()
        unprotected = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' "
            "AND NOT relrowsecurity"
        ).fetchall()
        counted = connection.execute("SELECT count(*) FROM ml_predictions").fetchone()
    assert applied == (len(migrations()),)
    assert unprotected == []
    assert counted == (rows["ml_predictions"],)


def test_a_newer_table_of_the_database_is_made_anew(filled: str, postgres_url: str, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    with connect(filled, autocommit=True) as connection:
        connection.execute("DROP TABLE scored_releases")
        connection.execute("DELETE FROM kronos_migrations WHERE version >= '20261125213000'")
    backup(filled, file)
    url = copy_database(postgres_url, "migrated")
    with connect(url, autocommit=True) as connection:
        connection.execute("INSERT INTO scored_releases VALUES ('1h', '', '2024-01-02', 'cpi')")
    restored = restore(url, file, replace=True)
    assert "20261125213000" in [migration.version for migration in restored.migrations]
    with connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM scored_releases").fetchone() == (0,)


@pytest.mark.parametrize(
    ("server", "kept"), [(150000, False), (160009, False), (170000, True), (180006, True)]
)
def test_a_setting_that_older_servers_refuse_is_left_out_for_them(server: int, kept: bool) -> None:
    """Once, where pg_restore writes it: the same text in a row stays."""
    setting = b"SET transaction_timeout = 0;\n"
    before, after = b"SET lock_timeout = 0;\n", b"COPY a FROM stdin;\n" + setting + b"\\.\n"
    copied = BytesIO()
    assert _copied(BytesIO(before + setting + after), copied, server)
    assert copied.getvalue() == before + (setting if kept else b"") + after


def test_a_database_without_tables_has_nothing_to_back_up(empty_database_url: str, tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="has none of the tables"):
        backup(empty_database_url, tmp_path / "backup")
    assert list(tmp_path.iterdir()) == []


def test_a_role_that_sees_some_rows_alone_makes_no_backup(filled: str, tmp_path: Path) -> None:
    """Without BYPASSRLS pg_dump fails instead of leaving rows out."""
    with connect(filled, autocommit=True) as connection:
        connection.execute("CREATE ROLE half_blind LOGIN PASSWORD 'half blind'")
        for kind in ("TABLES", "SEQUENCES"):
            connection.execute(f"GRANT SELECT ON ALL {kind} IN SCHEMA public TO half_blind")
    host = filled.split("@")[1].split("?")[0]
    try:
        with pytest.raises(DatabaseError, match="row-level security"):
            backup(f"postgresql://half_blind:half%20blind@{host}", tmp_path / "backup")
    finally:
        with connect(filled, autocommit=True) as connection:
            connection.execute("DROP OWNED BY half_blind")
            connection.execute("DROP ROLE half_blind")
    assert list(tmp_path.iterdir()) == []


def test_no_password_is_on_a_command_line(
    filled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[str] = []
    popen = subprocess.Popen

    def recorded(command: list[str], **options: Any) -> Any:
        commands.append(" ".join(map(str, command)))
        return popen(command, **options)

    with connect(filled, autocommit=True) as connection:
        connection.execute("CREATE ROLE with_password SUPERUSER LOGIN PASSWORD 'open sesame'")
    url = f"postgresql://with_password:open%20sesame@{filled.split('@')[1].split('?')[0]}"
    monkeypatch.setattr("sql.client_programs.subprocess.Popen", recorded)
    try:
        backup(url, tmp_path / "backup")
        restore(url, tmp_path / "backup", replace=True)
    finally:
        with connect(in_database(filled, "postgres"), autocommit=True) as connection:
            connection.execute(f"REASSIGN OWNED BY with_password TO {connection.info.user}")
        with connect(filled, autocommit=True) as connection:
            connection.execute(f"REASSIGN OWNED BY with_password TO {connection.info.user}")
            connection.execute("DROP ROLE with_password")
    assert len(commands) == 4  # pg_dump, pg_restore --list, pg_restore, psql
    assert not [command for command in commands if "sesame" in command]


def test_the_commands_print_what_they_did(
    filled: str,
    postgres_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "backup"
    assert backup_command.main([str(file)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"{file}: ")
    assert f" rows of {len(relation_names()) - 1} tables, " in printed
    assert backup_command.main([str(file)]) == 1
    assert (
        capsys.readouterr().err
        == f"error: {file} exists and is not replaced: give another name, such as one with the date\n"
    )
    assert restore_command.main([str(file)]) == 1
    assert "has rows" in capsys.readouterr().err
    monkeypatch.setenv("DATABASE_URL", copy_database(postgres_url, "template0"))
    assert restore_command.main([str(file)]) == 0
    printed = capsys.readouterr().out
    assert "economic_indicators: 4" in printed
    assert "restored the backup of " in printed
    assert os.environ["DATABASE_URL"] not in printed
