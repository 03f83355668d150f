"""Reads the SQL files of this package, so that a user whose tables look different edits SQL, not Python."""

from functools import cache
from importlib import resources
from typing import LiteralString


@cache
def load(name: str) -> LiteralString:
    """Return the text of ``sql/queries/<name>.sql``.

    It counts as literal, which psycopg asks of a query: it comes from the package, never from a user.

    Parameters
    ----------
    name : str
        Name of the file without its ending; the file's comments name its parameters.

    Raises
    ------
    FileNotFoundError
        If there is no such query.
    """
    return resources.files("sql").joinpath("queries", f"{name}.sql").read_text(encoding="utf-8")
