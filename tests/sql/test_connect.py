"""Connections: accepted URLs, the time zone UTC, time limits, and errors without passwords."""

import os
import socket
import sys

import psycopg
import pytest

from sql.connect import (
    configure,
    connect,
    connection_settings,
    database_url,
    describe,
    normalise_url,
    without_password,
)
from sql.errors import DatabaseError


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@h/db", "postgresql://u:p@h/db"),
        ("postgres://u:p@h:6543/db", "postgresql://u:p@h:6543/db"),
        ("postgresql+psycopg://u:p@h/db", "postgresql://u:p@h/db"),
        ("postgres://h/db?pgbouncer=true&connection_limit=1", "postgresql://h/db"),
        ("postgres://h/db?pgbouncer=true&sslmode=require", "postgresql://h/db?sslmode=require"),
        ("postgres://h:6432/db?prepare_threshold=0", "postgresql://h:6432/db"),
        ("postgres://h:6543,h2:6543/db?pgbouncer=true", "postgresql://h:6543,h2:6543/db"),
        (
            "postgresql://u@h/db?options=-c%20search_path%3Dx&supa=y",
            "postgresql://u@h/db?options=-c%20search_path%3Dx",
        ),
    ],
)
def test_urls_of_other_tools_are_accepted(url: str, expected: str) -> None:
    assert normalise_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:secret@h/db",
        "u:secret@h",
        "host=h password=secret",
        "postgres://u:secret@h:port/db",
        "postgres://u:a@secret@h/db",
        "postgres://u:secret/2@h/db",
        "postgres://u:1/secret@h/db",
        "postgres://h/db?password=secret&nonsense=1",
    ],
)
def test_the_error_for_a_bad_url_omits_the_password(url: str) -> None:
    with pytest.raises(DatabaseError, match=r"expected postgresql://user:password@host") as error:
        normalise_url(url)
    assert "secret" not in str(error.value)


def test_no_statement_is_prepared_after_several_runs(database_url: str) -> None:
    """Prepared statements fail behind a pooler in transaction mode, which the URL does not tell."""
    with connect(database_url) as connection:
        for _ in range(8):
            connection.execute("SELECT %s::int", [1])
        row = connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
    assert row == (0,)


def test_a_timeout_in_the_url_takes_precedence() -> None:
    assert connection_settings("postgresql://h/db")["connect_timeout"] == 10
    settings = connection_settings("postgresql://h/db?connect_timeout=3&keepalives_idle=600")
    assert not {"connect_timeout", "keepalives_idle"} & set(settings)


def test_a_connection_to_a_host_that_does_not_respond_ends(database_url: str) -> None:
    """The operating system sends three keepalive probes, 10 s apart, after 30 s without traffic."""
    with connect(database_url) as connection, socket.socket(fileno=os.dup(connection.fileno())) as wire:
        assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 10
        assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3
        if sys.platform == "linux":
            assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
            assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


def test_connecting_to_a_server_that_never_responds_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"postgresql://u@127.0.0.1:{listening.getsockname()[1]}/db?connect_timeout=2"
        with pytest.raises(DatabaseError, match=r"can't connect to u@127\.0\.0\.1:.* timeout"):
            connect(url)


def test_the_error_for_an_unreachable_database_is_one_line() -> None:
    with pytest.raises(DatabaseError) as error:
        connect("postgresql://someone:secret@127.0.0.1:1/db")
    message = str(error.value)
    assert message.startswith("can't connect to someone@127.0.0.1:1/db: ")
    assert "\n" not in message
    assert "secret" not in message


def test_the_error_for_a_wrong_password_omits_it(database_url: str) -> None:
    with pytest.raises(DatabaseError, match="password authentication failed") as error:
        connect(f"{without_password(database_url).split('?')[0]}?password=secret")
    assert "secret" not in str(error.value)


def test_timestamps_are_in_utc(database_url: str) -> None:
    with psycopg.connect(database_url, options="-c TimeZone=America/New_York") as connection:
        configure(connection)
        connection.rollback()
        row = connection.execute("SELECT '2022-06-15 18:00+00'::timestamptz").fetchone()
    assert row is not None
    assert row[0].isoformat() == "2022-06-15T18:00:00+00:00"


def test_the_environment_variable_sets_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", " postgres://h/db ")
    assert database_url() == "postgresql://h/db"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:secret@h:1/db", "postgresql://u@h:1/db"),
        ("postgresql://u@h/db?passfile=/x&password=secret", "postgresql://u@h/db?passfile=%2Fx"),
        ("postgresql://h/db?passfile=/x", "postgresql://h/db?passfile=/x"),
    ],
)
def test_a_displayed_url_omits_the_password(url: str, expected: str) -> None:
    assert without_password(url) == expected
    assert "secret" not in describe(url)
