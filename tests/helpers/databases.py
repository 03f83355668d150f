"""Fixtures for tests on a real Postgres: one server for the session, a fresh database for each test."""

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from sql.connect import connect
from sql.embedded import server as embedded
from sql.migrate import migrate

_NUMBERS = itertools.count()

# Tables as an installation from before may have them, with rows: fewer columns, numeric prices, other keys.
_OLDER = Path(__file__).parents[1] / "sql" / "older"
OLDER_TABLES = sorted(file.stem for file in _OLDER.glob("*.sql"))


def build_older(connection: psycopg.Connection, *tables: str) -> None:
    """Make tables of an installation from before, with rows in place."""
    for table in tables:
        connection.execute((_OLDER / f"{table}.sql").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of the session's embedded Postgres, as its superuser, in a temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="kronos-test-postgres-"))
    folder.chmod(0o711)  # as root, the account that runs the server passes through
    try:
        url = embedded.start(folder)
        with connect(url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")  # nothing here has to outlive a power cut
            connection.execute("SELECT pg_reload_conf()")
        yield url
    finally:
        embedded.stop(folder)
        shutil.rmtree(folder)


def in_database(url: str, name: str) -> str:
    """Return the same server's URL with another database."""
    return url.replace("/postgres?", f"/{name}?", 1)


def _created(postgres_url: str, template: str) -> str:
    name = f"test_{next(_NUMBERS)}"
    with connect(postgres_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return in_database(postgres_url, name)


@pytest.fixture(scope="session")
def _migrated_template(postgres_url: str) -> str:
    name = "migrated"
    with connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    with connect(in_database(postgres_url, name), autocommit=True) as connection:
        migrate(connection)
    return name


@pytest.fixture
def empty_database_url(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of a fresh database without tables, which is also the test's DATABASE_URL."""
    url = _created(postgres_url, "template0")
    monkeypatch.setenv("DATABASE_URL", url)
    return url


@pytest.fixture
def database_url(postgres_url: str, _migrated_template: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of a fresh migrated database, which is also the test's DATABASE_URL."""
    url = _created(postgres_url, _migrated_template)
    monkeypatch.setenv("DATABASE_URL", url)
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[psycopg.Connection]:
    """An autocommit connection to the fresh migrated database."""
    with connect(database_url, autocommit=True) as connection:
        yield connection
