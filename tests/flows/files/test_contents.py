"""Files read by what they contain, whatever their names."""

import gzip
import zlib
from pathlib import Path

import polars as pl
import pytest

from flows.files.contents import read_content
from flows.files.errors import TableError

FRAME = pl.DataFrame({"a": ["1", "2"], "b": ["x", "y"]})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "without_ending"


def test_the_format_follows_from_the_first_bytes(file: Path) -> None:
    FRAME.write_csv(file)
    assert read_content(file).frame.equals(FRAME)
    FRAME.write_parquet(file)
    assert read_content(file).frame.equals(FRAME)
    FRAME.write_json(file)
    assert read_content(file).frame.equals(FRAME)
    FRAME.write_ndjson(file)
    assert read_content(file).frame.equals(FRAME)
    file.write_bytes(b"\xef\xbb\xbfa,b\n1,x\n2,y\n")
    assert read_content(file).frame.equals(FRAME)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "^it is empty$"),
        (b" \r\n", "^it is empty$"),
        (
            b"\n<!DOCTYPE html><html><head><title> Log\n in</title>",
            "HTML or XML page with the title 'Log in', not a table",
        ),
        (b"<?xml version='1.0'?><Error/>", "HTML or XML page, not a table; it begins with"),
        (b"a,b\n", "it has no rows; it begins with 'a,b'"),
        (b"Too many requests", "it has no rows; it begins with 'Too many requests'"),
        (b"PAR1 and then nothing", "it can't be read: .*; it begins with 'PAR1"),
        (b'[{"a": 1}, {"a"', "it is not whole JSON"),
        (b"a,b\n1,x,3\n", "it can't be read"),
        (gzip.compress(b"a,b\n1,x\n", mtime=0), r"it is compressed \(gzip\); give the table itself"),
        (zlib.compress(b"a,b\n1,x\n"), r"it is compressed \(zlib\)"),
        (b"PK\x03\x04 and so on", r"it is compressed \(zip\)"),
    ],
)
def test_what_is_no_table_is_refused(file: Path, content: bytes, message: str) -> None:
    file.write_bytes(content)
    with pytest.raises(TableError, match=message):
        read_content(file)


def test_few_bytes_of_parquet_that_become_many_are_refused(file: Path) -> None:
    pl.DataFrame({"a": pl.repeat(1, 1_000_000, eager=True)}).write_parquet(file)
    assert file.stat().st_size < 100_000
    with pytest.raises(TableError, match=r"its 1,000,000 rows take 8\.0 MB and more, above the size limit"):
        read_content(file, size_limit_bytes=1_000_000)
    assert read_content(file, size_limit_bytes=10_000_000).frame.height == 1_000_000


def test_a_csv_that_may_be_cut_off_must_end_with_a_line_break(file: Path) -> None:
    file.write_bytes(b"a,b\n1,x\n2,y")
    assert read_content(file).frame.equals(FRAME)
    with pytest.raises(TableError, match="it ends within a line"):
        read_content(file, complete=False)
    file.write_bytes(b"a,b\n1,x\n2,y\n")
    assert read_content(file, complete=False).frame.equals(FRAME)
