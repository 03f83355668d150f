"""Where the database is and how to connect to it: ``DATABASE_URL``, else the embedded Postgres."""

import os
import re
import sys
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from sql.errors import DatabaseError, one_line

# Settings that other drivers read from a URL and that libpq refuses; none of them guards the connection.
_FOREIGN_SETTINGS = frozenset(
    {"pgbouncer", "connection_limit", "pool_timeout", "supa", "workaround", "prepare_threshold"}
)

_NETWORK: Final = {
    "connect_timeout": 10,  # s, for each address of the host
    "keepalives_idle": 30,  # s without traffic before the first probe
    "keepalives_interval": 10,  # s between probes
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,  # ms in which what was sent must be acknowledged; Linux only
}


def database_url() -> str:
    """Return the URL of the database, starting the embedded Postgres where ``DATABASE_URL`` is not set.

    Raises
    ------
    DatabaseError
        If ``DATABASE_URL`` is not a Postgres URL, or the embedded Postgres can't start.
    """
    url = os.environ.get("DATABASE_URL", "").strip()
    if url:
        return normalise_url(url)
    if sys.platform == "win32":
        raise DatabaseError(
            "the embedded Postgres needs Linux or macOS: set DATABASE_URL to a Postgres to use"
        )
    from sql import embedded

    return embedded.start()


def normalise_url(url: str) -> str:
    """Return a URL that libpq takes: driver suffixes and the settings of other drivers are taken out.

    Raises
    ------
    DatabaseError
        If it is not a Postgres URL; the message leaves the URL out, because it may hold a password.
    """
    url = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url)
    if not url.startswith("postgresql://"):
        raise DatabaseError(
            "DATABASE_URL is not a Postgres URL: expected postgresql://user:password@host:port/database"
        )
    try:
        url = _without(url, _FOREIGN_SETTINGS)
        info = conninfo_to_dict(url)
        # A password with a bare @ or / falls apart over host, port and database, and would show in messages.
        if "@" in f"{info.get('host')}{info.get('dbname')}" or not re.fullmatch(
            r"[\d,]+", str(info.get("port", 0))
        ):
            raise ValueError(url)
    except (psycopg.ProgrammingError, ValueError):
        raise DatabaseError(
            "DATABASE_URL can't be read: expected postgresql://user:password@host:port/database, "
            "with special characters of the password percent-encoded"
        ) from None
    return url


def connection_settings(url: str) -> dict[str, Any]:
    """Return the keyword arguments that a connection or a pool to this URL needs.

    Statements are never prepared: a pooler that gives out a server connection for each transaction, on
    whatever port, would run one where another was prepared. Preparing would save a quarter of a millisecond
    of the three quarters that reading a symbol's candles takes.

    A host that is gone ends a connection within about a minute, while it waits for an answer (keepalives) and
    while it sends (`tcp_user_timeout`); without them it would wait for a quarter of an hour or for ever. What
    the URL sets itself stays.
    """
    settings: dict[str, Any] = {"application_name": "kronos-events", "prepare_threshold": None}
    in_url = conninfo_to_dict(url)
    return settings | {name: value for name, value in _NETWORK.items() if name not in in_url}


def configure(connection: psycopg.Connection[Any]) -> None:
    """Make a fresh connection show times in UTC; serves as ``configure`` of a psycopg pool too.

    No result depends on it: a pooler may hand the next transaction to a session that never heard of it.

    Raises
    ------
    psycopg.Error
        If the connection is lost.
    """
    connection.execute("SET TimeZone = 'UTC'")
    if not connection.autocommit:
        connection.commit()


def connect(url: str | None = None, **settings: Any) -> psycopg.Connection[Any]:
    """Open a connection whose timestamps are in UTC.

    Parameters
    ----------
    url : str, optional
        A Postgres URL; `database_url()` unless given.
    **settings
        Passed to `psycopg.connect`, for example ``autocommit=True``.

    Raises
    ------
    DatabaseError
        If the database can't be reached.
    """
    target = database_url() if url is None else normalise_url(url)
    try:
        connection = psycopg.connect(target, **{**connection_settings(target), **settings})
        configure(connection)
    except psycopg.Error as error:
        raise DatabaseError(f"can't connect to {describe(target)}: {one_line(error)}") from None
    return connection


def describe(url: str) -> str:
    """Return ``user@host:port/database``, without the password."""
    info = conninfo_to_dict(url)
    user = f"{info['user']}@" if "user" in info else ""
    return f"{user}{info.get('host', 'localhost')}:{info.get('port', 5432)}/{info.get('dbname', '')}"


def without_password(url: str) -> str:
    """Return a Postgres URL with the password taken out, wherever it stands."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    url = urlunsplit(parts._replace(netloc=user.split(":", 1)[0] + at + host))
    return _without(url, frozenset({"password", "sslpassword"}))


def _without(url: str, names: frozenset[str]) -> str:
    """Take settings out of a URL's query; a URL that has none of them stays as it is."""
    parts = urlsplit(url)
    settings = parse_qsl(parts.query, keep_blank_values=True)
    kept = [(name, value) for name, value in settings if name not in names]
    if len(kept) == len(settings):
        return url
    return urlunsplit(parts._replace(query=urlencode(kept, quote_via=quote)))
