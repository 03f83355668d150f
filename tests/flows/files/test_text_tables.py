"""Text files however they are written, into columns of text."""

from pathlib import Path

import pytest

from flows.files.errors import TableError
from flows.files.text_tables import Table, read_text_table


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "table"


def read(file: Path, content: str | bytes) -> Table:
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_text_table(file)


@pytest.mark.parametrize(
    ("content", "columns", "described"),
    [
        (
            "open,close\n1,2\n",
            {"open": ["1"], "close": ["2"]},
            "UTF-8, comma between values, names in line 1",
        ),
        ("a;b\n1,5;2\n", {"a": ["1,5"], "b": ["2"]}, "UTF-8, semicolon between values, names in line 1"),
        ('a\tb\n"x\ty"\t\n', {"a": ["x\ty"], "b": [None]}, "UTF-8, tab between values, names in line 1"),
        (
            "\ufeffa|b\r\n1|2\r\n",
            {"a": ["1"], "b": ["2"]},
            "UTF-8, vertical line between values, names in line 1",
        ),
        (
            "Some prices\n\nopen,close\n1,2\n",
            {"open": ["1"], "close": ["2"]},
            "UTF-8, comma between values, names in line 3",
        ),
        (
            "a,b\n1,2".encode("utf-16"),
            {"a": ["1"], "b": ["2"]},
            "utf-16, comma between values, names in line 1",
        ),
        (
            "observation_date,VIXCLS\n2024-01-02,.\n",
            {"observation_date": ["2024-01-02"], "VIXCLS": ["."]},
            "",
        ),
    ],
)
def test_dialects(file: Path, content: str | bytes, columns: dict[str, list[str]], described: str) -> None:
    table = read(file, content)
    assert table.frame.to_dict(as_series=False) == columns
    assert described in table.described
    assert table.notes == ()


def test_other_encodings_are_named(file: Path) -> None:
    table = read(file, "Datum,Eröffnung,Schluss\n1,2,3\n".encode("cp1252"))
    assert table.frame.columns == ["Datum", "Eröffnung", "Schluss"]
    assert table.notes == ("its text is no UTF-8; it was read as cp1252",)
    assert read(file, "日期,收盘\n1,2\n".encode("gb18030")).frame.columns == ["日期", "收盘"]


def test_bytes_that_are_no_utf8_far_into_a_file(file: Path) -> None:
    content = b"title,open\n" + b"a,1\n" * 40_000 + "Caf\u00e9,2\n".encode("cp1252")
    assert read(file, content).frame["title"][-1] == "Café"


def test_candles_without_names_are_taken_by_their_number_and_said(file: Path) -> None:
    table = read(file, "1704187800,1,2,0.5,1.5,10\n")
    assert table.frame.columns == ["timestamp", "open", "high", "low", "close", "volume"]
    assert table.notes == (
        "it has no names of columns; they are taken for timestamp, open, high, low, close, volume",
    )
    with pytest.raises(
        TableError, match="no names, and nothing says what its 9 columns are: add a first line"
    ):
        read(file, "1,2,3,4,5,6,7,8,9\n")


def test_empty_files(file: Path) -> None:
    with pytest.raises(TableError, match="it is empty"):
        read(file, "\n")
