"""Reads the SQL files of this package, so that a user whose tables look different edits SQL, not Python."""

from functools import cache
from importlib import resources
from typing import LiteralString


@cache
def load(name: str) -> LiteralString:
    """Return the text of ``sql/queries/<subject>/<name>.sql``; names are unique among the subjects.

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
    for subject in resources.files("sql").joinpath("queries").iterdir():
        file = subject.joinpath(f"{name}.sql")
        if file.is_file():
            return file.read_text(encoding="utf-8")
    raise FileNotFoundError(f"there is no {name}.sql in the folders of sql/queries")
