"""Holds the database connection of a run, which is opened again after it was lost."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import psycopg

from flows.runtime.database import limited_transaction
from sql.connect import connect


class RunDatabase:
    """One connection for many steps of one thread; opening one takes longer than most steps.

    Use it as a context manager. A step that fails closes the connection, so that another try begins anew.
    """

    def __init__(self) -> None:
        self._open: psycopg.Connection[Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open is not None:
            self._open.close()

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Any]]:
        """Give the connection for one step, a `limited_transaction`, which is committed at its end.

        Raises
        ------
        sql.errors.DatabaseError
            The database can't be reached, or gave up a statement.
        """
        if self._open is None or self._open.closed:
            self._open = connect()
        try:
            with limited_transaction(self._open):
                yield self._open
        except BaseException:
            self._open.close()
            raise
