"""Opens transactions whose statements have a time limit, with or without a pooler in between."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from flows.runtime.time_limits import statement_limit_s
from sql.connect import connect
from sql.errors import DatabaseError
from sql.loading import load


class StatementTimeout(DatabaseError):
    """The database gave up a statement because it took too long."""


@contextmanager
def limited_transaction(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Begin a transaction whose statements are cancelled after a time limit, and commit it at the end.

    The limit is `time_limits.statement_limit_s`, or the role's own ``statement_timeout`` where that is
    less. It is set within the transaction: a pooler that gives out a server connection for each transaction
    keeps it, which it does not do with a session's settings, and many poolers refuse one in the connection's
    options.

    Raises
    ------
    StatementTimeout
        A statement took longer, as one does that waits for another session's lock.
    OutOfTime
        The run has to end.
    psycopg.Error
        As the statements raise it.
    """
    limit_s = statement_limit_s()
    try:
        with connection.transaction():
            connection.execute(load("statement_timeout"), {"milliseconds": max(1, round(1000 * limit_s))})
            yield
    except psycopg.errors.QueryCanceled as error:
        raise StatementTimeout(
            f"the database gave up a statement, which may take {round(limit_s, 2):g} s "
            "(KRONOS_STATEMENT_TIMEOUT_S, the role's statement_timeout or the end of the run): it waits for "
            "a lock of another session, or the database is overloaded; pg_stat_activity shows which"
        ) from error


@contextmanager
def database() -> Iterator[psycopg.Connection[Any]]:
    """Open a connection for one `limited_transaction`, and close it afterwards.

    Raises
    ------
    DatabaseError
        The database can't be reached, or gave up a statement.
    """
    with connect() as connection, limited_transaction(connection):
        yield connection
