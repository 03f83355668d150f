"""Backup files: complete or not there, private, and refused where they are damaged."""

import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import msgspec
import pytest

from sql.backup_file import DUMP, MANIFEST, Manifest, read_backup, write_backup
from sql.errors import DatabaseError

MADE = Manifest(
    format=1,
    made_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
    postgres="18.6",
    migrations=("20260101000000",),
    rows={"ohlcv_1h": 3},
    views=("a_view",),
    schema="public",
    roles=("reader",),
)
DUMPED = b"a dump " * 1000


def write_dump(stream: IO[bytes]) -> None:
    stream.write(DUMPED)


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    file, dump = tmp_path / "backup", tmp_path / "dump"
    write_backup(file, MADE, write_dump)
    assert read_backup(file, dump) == MADE
    assert dump.read_bytes() == DUMPED
    assert file.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"backup", "dump"}


def test_an_existing_file_is_not_replaced(tmp_path: Path) -> None:
    file = tmp_path / "backup"
    file.write_text("of before")
    with pytest.raises(DatabaseError, match="exists and is not replaced"):
        write_backup(file, MADE, write_dump)
    assert file.read_text() == "of before"


def test_a_dump_that_fails_leaves_no_file(tmp_path: Path) -> None:
    def fail(stream: IO[bytes]) -> None:
        stream.write(b"half")
        raise DatabaseError("pg_dump failed")

    with pytest.raises(DatabaseError, match="pg_dump failed"):
        write_backup(tmp_path / "backup", MADE, fail)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"can't write .*gone/backup: No such file"):
        write_backup(tmp_path / "gone" / "backup", MADE, write_dump)


def test_a_full_disk_is_named_and_leaves_no_file(tmp_path: Path) -> None:
    def fill(stream: IO[bytes]) -> None:
        with Path("/dev/full").open("wb", buffering=0) as full:
            full.write(b"more")

    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(DatabaseError, match="No space left on device"):
        write_backup(tmp_path / "backup", MADE, fill)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kept", [0, 1, 40, 200, 4000, -30])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, kept: int) -> None:
    file = tmp_path / "backup"
    write_backup(file, MADE, write_dump)
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(DatabaseError, match="is no complete backup"):
        read_backup(file, tmp_path / "dump")


def test_a_changed_byte_of_the_dump_is_found(tmp_path: Path) -> None:
    file = tmp_path / "backup"
    write_backup(file, MADE, write_dump)
    file.write_bytes(file.read_bytes().replace(b"a dump a dump", b"a dump a bump", 1))
    with pytest.raises(DatabaseError, match="is no complete backup"):
        read_backup(file, tmp_path / "dump")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"can't read .*nothing: No such file"):
        read_backup(tmp_path / "nothing", tmp_path / "dump")


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (
            msgspec.json.encode(msgspec.structs.replace(MADE, format=2)),
            "has format 2, this version reads format 1",
        ),
        (b"{}", "can't be read: .*format"),
        (b"not JSON", "can't be read"),
    ],
)
def test_another_format_is_refused(tmp_path: Path, manifest: bytes, message: str) -> None:
    file = tmp_path / "backup"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(MANIFEST, manifest)
        archive.writestr(DUMP, DUMPED)
    with pytest.raises(DatabaseError, match=message):
        read_backup(file, tmp_path / "dump")
