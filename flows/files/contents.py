"""Reads a file by what it contains, whatever its name and its content type say."""

import re
from pathlib import Path
from typing import Final

import polars as pl

from flows.files.errors import TableError, excerpt
from flows.files.json_rows import json_frame

_HEAD: Final = 4096  # bytes that the format is recognised by
_BLANKS: Final = b" \t\r\n\xef\xbb\xbf"


def read_content(path: Path, *, complete: bool = True) -> pl.DataFrame:
    """Read a Parquet, JSON or CSV file; the format follows from its first bytes.

    Parameters
    ----------
    complete
        Whether the file is known to be whole. If it is not, a CSV file must end with a line break: a number
        that was cut off looks like another number.

    Raises
    ------
    TableError
        The file is empty, an HTML page, cut off or unreadable, or has no rows.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    text = head.lstrip(_BLANKS)
    if not text:
        raise TableError("it is empty")
    if text.startswith(b"<"):
        raise TableError(
            f"it is an HTML or XML page{_title(head)}, not a table; it begins with {excerpt(text)}"
        )
    frame = _read(path, text, complete=complete)
    if frame.is_empty():
        raise TableError(f"it has no rows; it begins with {excerpt(text)}")
    return frame


def _read(path: Path, head: bytes, *, complete: bool) -> pl.DataFrame:
    try:
        if head.startswith(b"PAR1"):
            return pl.read_parquet(path)
        if head.startswith((b"[", b"{")):
            return json_frame(path.read_bytes())
        if not complete and not _ends_with_line_break(path):
            raise TableError("it ends within a line, so that its end may be missing")
        return pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        problem = str(error).splitlines()[0]
        raise TableError(f"it can't be read: {problem}; it begins with {excerpt(head)}") from None


def _title(head: bytes) -> str:
    found = re.search(rb"<title[^>]*>(.*?)</title>", head, re.IGNORECASE | re.DOTALL)
    return "" if found is None else f" with the title {excerpt(found[1])}"


def _ends_with_line_break(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) in (b"\n", b"\r")
