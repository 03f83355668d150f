"""Fixtures for tests on a real Postgres: one server for the session, a fresh database for each test."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from sql.connect import connect
from sql.embedded import server as embedded
from sql.migrate import migrate
from tests.helpers.database_folders import database_folder

_NUMBERS = itertools.count()

# Tables that existed before the migrations, with rows: fewer columns, numeric prices, other keys.
_OLDER = Path(__file__).parents[1] / "sql" / "older"
OLDER_TABLES = sorted(file.stem for file in _OLDER.glob("*.sql"))


def build_older(connection: psycopg.Connection, *tables: str) -> None:
    """Make tables as they may exist before the migrations, with rows."""
    for table in tables:
        connection.execute((_OLDER / f"{table}.sql").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of the session's embedded Postgres, as its superuser, in a temporary folder."""
    with database_folder("test-postgres") as folder:
        try:
            url = embedded.start(folder)
            with connect(url, autocommit=True) as connection:
                connection.execute(
                    "ALTER SYSTEM SET fsync = off"
                )  # no data here has to survive a power failure
                connection.execute("SELECT pg_reload_conf()")
            yield url
        finally:
            embedded.stop(folder)


def in_database(url: str, name: str) -> str:
    """Return the same server's URL with another database."""
    return url.replace("/postgres?", f"/{name}?", 1)


def copy_database(postgres_url: str, template: str) -> str:
    """Make a database as a copy of another one of the same server, and return its URL."""
    name = f"test_{next(_NUMBERS)}"
    with connect(postgres_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return in_database(postgres_url, name)


@contextmanager
def temporary_copy(postgres_url: str, template: str) -> Iterator[str]:
    """Make a copy of a database, give its URL, and drop it: hundreds of them would fill a disk."""
    url = copy_database(postgres_url, template)
    try:
        yield url
    finally:
        name = conninfo_to_dict(url)["dbname"]
        with connect(postgres_url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def migrated_template(postgres_url: str) -> str:
    """Name of a migrated database that tests copy."""
    name = "migrated"
    with connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    with connect(in_database(postgres_url, name), autocommit=True) as connection:
        migrate(connection)
    return name


@contextmanager
def filled_template(
    postgres_url: str, template: str, fill: Callable[[psycopg.Connection], object]
) -> Iterator[str]:
    """Make a copy of a database, fill it, and give its name: tests copy it faster than each would fill it."""
    with temporary_copy(postgres_url, template) as url:
        with connect(url, autocommit=True) as connection:
            fill(connection)
        yield str(conninfo_to_dict(url)["dbname"])


@pytest.fixture(scope="session")
def database_template(migrated_template: str) -> str:
    """Name of the database that `database_url` copies; a module whose tests share rows overrides it."""
    return migrated_template


@pytest.fixture
def empty_database_url(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of a fresh database without tables, which is also the test's DATABASE_URL."""
    with temporary_copy(postgres_url, "template0") as url:
        monkeypatch.setenv("DATABASE_URL", url)
        yield url


@pytest.fixture
def database_url(postgres_url: str, database_template: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of a fresh copy of the template, which is also the test's DATABASE_URL."""
    with temporary_copy(postgres_url, database_template) as url:
        monkeypatch.setenv("DATABASE_URL", url)
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[psycopg.Connection]:
    """An autocommit connection to the fresh migrated database."""
    with connect(database_url, autocommit=True) as connection:
        yield connection
