"""Reads the queries in ``sql/queries``: a user whose tables differ edits SQL files, not Python."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import LiteralString

from psycopg import sql


@cache
def load(name: str) -> LiteralString:
    """Return the text of ``sql/queries/<subject>/<name>.sql``.

    Its type is `LiteralString`, which psycopg requires of a query, because the text comes from this package.

    Parameters
    ----------
    name : str
        Name of the file without its suffix, unique among all subjects. Comments in the file list the query's
        parameters.

    Raises
    ------
    FileNotFoundError
        If there is no such query.
    """
    for subject in resources.files("sql").joinpath("queries").iterdir():
        file = subject.joinpath(f"{name}.sql")
        if file.is_file():
            return file.read_text(encoding="utf-8")
    raise FileNotFoundError(f"there is no {name}.sql in the folders of sql/queries")


@cache
def load_for_table(name: str, table: str) -> sql.Composed:
    """Return a query that is written for any one of several tables with the same columns.

    Parameters
    ----------
    name : str
        Name of a query that has ``{table}`` where the table's name belongs.
    table : str
        Name of the table, inserted as a quoted identifier.

    Raises
    ------
    FileNotFoundError
        If there is no such query.
    """
    return sql.SQL(load(name)).format(table=sql.Identifier(table))


def load_for_tables(name: str, tables: Mapping[str, str]) -> sql.Composed:
    """Return one query of the rows that a query gives for all of several tables, ordered by the first column.

    Parameters
    ----------
    name : str
        Name of a query that has ``{table}`` and ``{timeframe}`` where a table and its timeframe belong.
    tables : mapping
        The name of each table by its timeframe.

    Raises
    ------
    FileNotFoundError
        If there is no such query.
    """
    query = sql.SQL(load(name))
    parts = (
        query.format(table=sql.Identifier(table), timeframe=sql.Literal(timeframe))
        for timeframe, table in tables.items()
    )
    return sql.SQL("\nUNION ALL\n").join(parts) + sql.SQL("\nORDER BY 1")
