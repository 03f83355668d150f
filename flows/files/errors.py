"""Defines the error of files that can't be loaded, and quotes their beginning for it."""

from typing import Final

_QUOTED: Final = 160  # characters


class TableError(ValueError):
    """A file can't be loaded; the message names rows or columns, and what was expected."""


def excerpt(content: bytes) -> str:
    """Return the beginning of a text in quotation marks, on one line."""
    text = " ".join(content[: 4 * _QUOTED].decode("utf-8", "replace").split())
    return repr(text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…")
