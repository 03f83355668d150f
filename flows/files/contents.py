"""Reads a file by what it contains, whatever its name and its content type say."""

import re
from pathlib import Path
from typing import Final

import polars as pl

from flows.files.errors import TableError, excerpt
from flows.files.json_rows import json_frame
from flows.files.text_tables import Table, read_text_table

_HEAD: Final = 4096  # bytes that the format is recognised by
_PARQUET: Final = b"PAR1"
_COMPRESSED: Final = {  # Polars would inflate some of them, however large they become
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"x\x01": "zlib",
    b"x\x9c": "zlib",
    b"x\xda": "zlib",
}
_METATRADER: Final = re.compile(rb"<(?:ticker|per|date|dtyyyymmdd)>", re.IGNORECASE)  # names of columns
_VALUE_BYTES: Final = 8  # of a number in memory
_BLANKS: Final = b" \t\r\n\xef\xbb\xbf"


def read_content(path: Path, *, complete: bool = True, size_limit_bytes: int | None = None) -> Table:
    """Read a Parquet, JSON or text file; the format follows from its first bytes.

    Parameters
    ----------
    complete
        Whether the file is known to be whole. If it is not, a CSV file must end with a line break: a number
        that was cut off looks like another number.
    size_limit_bytes
        The most that the values of a Parquet file may take: a few kilobytes can hold a billion equal values.

    Raises
    ------
    TableError
        The file is empty, an HTML page, compressed, cut off, too large or unreadable, or has no rows.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    text = head.lstrip(_BLANKS)
    if not text:
        raise TableError("it is empty")
    if text.startswith(b"<") and not _METATRADER.match(text):
        raise TableError(
            f"it is an HTML or XML page{_title(head)}, not a table; it begins with {excerpt(text)}"
        )
    for magic, name in _COMPRESSED.items():
        if head.startswith(magic):
            raise TableError(
                f"it is compressed ({name}); give the table itself, or send it as Content-Encoding: gzip"
            )
    if size_limit_bytes is not None and head.startswith(_PARQUET):
        _refuse_large(path, size_limit_bytes)
    table = _read(path, text, complete=complete)
    if table.frame.is_empty():
        raise TableError(f"it has no rows; it begins with {excerpt(text)}")
    return table


def _read(path: Path, head: bytes, *, complete: bool) -> Table:
    try:
        if head.startswith(_PARQUET):
            return Table(pl.read_parquet(path), "Parquet")
        if head.startswith((b"[", b"{")):
            return Table(json_frame(path.read_bytes()), "JSON")
        if not complete and not _ends_with_line_break(path):
            raise TableError("it ends within a line, so that its end may be missing")
        return read_text_table(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        problem = str(error).splitlines()[0]
        raise TableError(f"it can't be read: {problem}; it begins with {excerpt(head)}") from None


def _refuse_large(path: Path, size_limit_bytes: int) -> None:
    try:
        columns = len(pl.read_parquet_schema(path))
        rows = pl.scan_parquet(path).select(pl.len()).collect().item()
    except (OSError, pl.exceptions.PolarsError):
        return  # `_read` says what is wrong
    size = rows * columns * _VALUE_BYTES
    if size > size_limit_bytes:
        raise TableError(
            f"its {rows:,} rows take {size / 1e6:,.1f} MB and more, above the size limit of "
            f"{size_limit_bytes / 1e6:,.1f} MB; raise it if they are all needed"
        )


def _title(head: bytes) -> str:
    found = re.search(rb"<title[^>]*>(.*?)</title>", head, re.IGNORECASE | re.DOTALL)
    return "" if found is None else f" with the title {excerpt(found[1])}"


def _ends_with_line_break(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) in (b"\n", b"\r")
