"""Reads text files of tables, however they are written, into columns of text."""

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import polars as pl

from flows.files.dialects import Dialect, decoded, dialect_of, encoding_of
from flows.files.errors import TableError

_HEAD_BYTES: Final = 65_536


@dataclass(frozen=True)
class Table:
    """The columns of a file, and how it was read.

    Attributes
    ----------
    frame
        Columns of text for a text file, of any type for others.
    described
        Format, encoding and separator, for a user.
    notes
        Sentences about what the file does not say itself.
    """

    frame: pl.DataFrame
    described: str
    notes: tuple[str, ...] = ()


def read_text_table(path: Path) -> Table:
    """Read a text file with a line for each row.

    Raises
    ------
    TableError
        Its encoding or the meaning of its columns is unknown, or its lines have different numbers of values.
    OSError, polars.exceptions.PolarsError
        It can't be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head.strip():
        raise TableError("it is empty")
    encoding = encoding_of(head)
    if encoding in ("utf-8", "utf-8-sig"):
        dialect = dialect_of(_whole_lines(head.decode(encoding, "ignore"), cut=len(head) == _HEAD_BYTES))
        try:
            return _table(path, dialect, "UTF-8")
        except pl.exceptions.ComputeError as error:
            if "utf" not in str(error).lower():
                raise
    text, encoding = decoded(path.read_bytes())
    dialect = dialect_of(_whole_lines(text[:_HEAD_BYTES], cut=len(text) > _HEAD_BYTES))
    table = _table(io.BytesIO(text.encode()), dialect, encoding)
    if encoding == "utf-16":
        return table
    return replace(table, notes=(*table.notes, f"its text is no UTF-8; it was read as {encoding}"))


def _table(source: Path | io.BytesIO, dialect: Dialect, encoding: str) -> Table:
    notes = () if dialect.guess is None else (dialect.guess,)
    return Table(_frame(source, dialect), f"{encoding}, {dialect.described}", notes)


def _whole_lines(text: str, *, cut: bool) -> str:
    return text.rpartition("\n")[0] or text if cut else text


def _frame(source: Path | io.BytesIO, dialect: Dialect) -> pl.DataFrame:
    frame = pl.read_csv(
        source,
        separator=dialect.separator,
        infer_schema=False,
        has_header=dialect.names is None,
        skip_rows=dialect.lines_before,
    )
    if dialect.names is None:
        return frame
    if frame.width != len(dialect.names):
        raise TableError(f"its lines have {frame.width} values, and {len(dialect.names)} columns are named")
    if dialect.symbols is None:
        return frame.rename(dict(zip(frame.columns, dialect.names, strict=True)))
    return _one_row_per_symbol(frame, dialect.names, dialect.symbols)


def _one_row_per_symbol(
    frame: pl.DataFrame, names: tuple[str, ...], symbols: tuple[str, ...]
) -> pl.DataFrame:
    """Return rows of one symbol each from rows that have a column for every field of every symbol.

    Parameters
    ----------
    names
        Field of each column, that of the index first.
    symbols
        Symbol of each column, empty for the index.
    """
    index = frame.columns[0]
    parts = []
    for symbol in dict.fromkeys(symbols[1:]):
        own = [place for place in range(1, frame.width) if symbols[place] == symbol]
        fields = {names[place]: frame[frame.columns[place]] for place in own}
        parts.append(pl.DataFrame({names[0]: frame[index], **fields}).with_columns(symbol=pl.lit(symbol)))
    return pl.concat(parts, how="diagonal")
