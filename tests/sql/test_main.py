"""The command line of sql: its output, and errors of one line without a traceback."""

from pathlib import Path

import psycopg
import pytest

from sql.__main__ import main
from sql.migrate import migrations


def test_migrate_and_status(empty_database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 0
    assert capsys.readouterr().out.count("pending") == len(migrations())
    assert main(["migrate"]) == 0
    out = capsys.readouterr().out
    assert "applied 20261122190700_event_context\n" in out
    assert out.endswith(f"{len(migrations())} applied, the database is up to date\n")
    assert main(["migrate"]) == 0
    assert capsys.readouterr().out == "the database is up to date\n"
    assert main(["status"]) == 0
    assert "pending" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://someone:secret@127.0.0.1:1/db", "can't connect to someone@127.0.0.1:1/db"),
        ("mysql://someone:secret@h/db", "DATABASE_URL is not a Postgres URL"),
    ],
)
@pytest.mark.parametrize("command", ["migrate", "status"])
def test_an_error_is_one_line(
    url: str, message: str, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    assert main([command]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"error: {message}")
    assert shown.err.count("\n") == 1
    assert "secret" not in shown.err


def test_duplicate_keys_are_listed(empty_database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(
            "CREATE TABLE ohlcv_1h AS SELECT 'A' AS symbol, now() AS ts FROM generate_series(1, 3)"
        )
    assert main(["migrate"]) == 1
    error = capsys.readouterr().err
    assert (
        "1 keys (symbol, ts) of ohlcv_1h stand in more than one row; nothing was changed or deleted\n(A, "
        in error
    )


def test_a_lost_connection_is_one_line(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lose(connection: psycopg.Connection) -> None:
        raise psycopg.OperationalError("server closed the connection\nunexpectedly")

    monkeypatch.setattr("sql.__main__.status", lose)
    assert main(["status"]) == 1
    assert capsys.readouterr().err == "error: server closed the connection; unexpectedly\n"


def test_url_shows_no_password(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://someone:secret@h:6543/db?pgbouncer=true")
    assert main(["url"]) == 0
    assert capsys.readouterr().out == "postgresql://someone@h:6543/db\n"


@pytest.mark.parametrize("command", ["start", "stop"])
def test_start_and_stop_are_rejected_if_database_url_is_set(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://h/db")
    assert main([command]) == 1
    assert f"no embedded Postgres to {command}" in capsys.readouterr().err


def test_stop_without_a_running_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("KRONOS_DATA_DIR", str(tmp_path / "none"))
    assert main(["stop"]) == 0
    assert capsys.readouterr().out == f"no Postgres is running in {tmp_path / 'none'}\n"
    assert not (tmp_path / "none").exists()
