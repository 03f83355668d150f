"""Connects to the database: the one of ``DATABASE_URL``, else the embedded Postgres."""

import os
import re
import sys
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from sql.errors import DatabaseError, UnusableUrl, one_line

# Settings in URLs that other drivers read and libpq rejects; none concerns the security of the connection.
_FOREIGN_SETTINGS = frozenset(
    {"pgbouncer", "connection_limit", "pool_timeout", "supa", "workaround", "prepare_threshold"}
)

_NETWORK_SETTINGS: Final = {
    "connect_timeout": 10,  # s, for each address of the host
    "keepalives_idle": 30,  # s without traffic before the first probe
    "keepalives_interval": 10,  # s between probes
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,  # ms until sent data must be acknowledged; Linux only
}


def database_url() -> str:
    """Return the URL of the database; starts the embedded Postgres if ``DATABASE_URL`` is not set.

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
    from sql.embedded import server as embedded

    return embedded.start()


def normalise_url(url: str) -> str:
    """Return a URL that libpq accepts, without driver suffixes and the settings of other drivers.

    Raises
    ------
    UnusableUrl
        If it is not a Postgres URL. The message omits the URL, because it may contain a password.
    """
    url = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url)
    if not url.startswith("postgresql://"):
        raise UnusableUrl(
            "DATABASE_URL is not a Postgres URL: expected postgresql://user:password@host:port/database"
        )
    try:
        url = _without(url, _FOREIGN_SETTINGS)
        info = conninfo_to_dict(url)
        # libpq reads an unescaped @ or / of a password as a separator, so that parts of the password become
        # host, port or database, which messages show.
        if "@" in f"{info.get('host')}{info.get('dbname')}" or not re.fullmatch(
            r"[\d,]+", str(info.get("port", 0))
        ):
            raise ValueError(url)
    except (psycopg.ProgrammingError, ValueError):
        raise UnusableUrl(
            "DATABASE_URL can't be read: expected postgresql://user:password@host:port/database, "
            "with special characters of the password percent-encoded"
        ) from None
    return url


def connection_settings(url: str) -> dict[str, Any]:
    """Return the keyword arguments for a connection or a pool to this URL, except those that the URL sets.

    Statements are never prepared: a pooler in transaction mode may run the next transaction on another server
    connection, where the statement is not prepared. Preparing would save about 0.25 ms of the 0.75 ms that
    reading a symbol's candles takes.

    A connection to a host that no longer responds fails within about a minute, both while it waits for a
    result (keepalives) and while it sends (`tcp_user_timeout`). With the system's defaults it would wait for
    15 minutes or forever.
    """
    settings: dict[str, Any] = {"application_name": "kronos-events", "prepare_threshold": None}
    in_url = conninfo_to_dict(url)
    return settings | {name: value for name, value in _NETWORK_SETTINGS.items() if name not in in_url}


def configure(connection: psycopg.Connection[Any]) -> None:
    """Set the time zone of a new connection to UTC; also the ``configure`` callback of a psycopg pool.

    No result may depend on it, because a pooler may run the next transaction in another session.

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
    """Return a Postgres URL without the password, whether it is in the user part or in the query."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    url = urlunsplit(parts._replace(netloc=user.split(":", 1)[0] + at + host))
    return _without(url, frozenset({"password", "sslpassword"}))


def _without(url: str, names: frozenset[str]) -> str:
    """Remove settings from the query of a URL; a URL without them is returned unchanged."""
    parts = urlsplit(url)
    settings = parse_qsl(parts.query, keep_blank_values=True)
    remaining = [(name, value) for name, value in settings if name not in names]
    if len(remaining) == len(settings):
        return url
    return urlunsplit(parts._replace(query=urlencode(remaining, quote_via=quote)))
