"""Defines the error of files that can't be loaded, and quotes their beginning for it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_READ: Final = 16_384  # bytes that are searched for what must not be quoted
_QUOTED: Final = 160  # characters
_HIDDEN: Final[ContextVar[Sequence[str]]] = ContextVar("hidden", default=())


class TableError(ValueError):
    """A file can't be loaded; the message names rows or columns, and what was expected."""


@contextmanager
def hiding(texts: Sequence[str]) -> Iterator[None]:
    """Let `excerpt` quote none of some texts, not in part either, while the block runs."""
    before = _HIDDEN.set(texts)
    try:
        yield
    finally:
        _HIDDEN.reset(before)


def excerpt(content: bytes) -> str:
    """Return the beginning of a text in quotation marks, on one line."""
    text = content[:_READ].decode("utf-8", "replace")
    for hidden in _HIDDEN.get():
        text = text.replace(hidden, "…")
    text = " ".join(text.split())
    return repr(text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…")
