"""Defines the error that this package raises; its messages never contain a password."""

import psycopg


class DatabaseError(RuntimeError):
    """The database can't be reached, started, migrated or loaded; the message says why and what to do."""


class UnusableUrl(DatabaseError):
    """``DATABASE_URL`` is not the URL of a Postgres: another try would fail too."""


def one_line(error: psycopg.Error | OSError) -> str:
    """Return the message of a driver's error on one line."""
    return "; ".join(line.strip() for line in str(error).splitlines() if line.strip()) or type(error).__name__
