"""Reads and writes backup files: a ZIP archive of a dump in Postgres' custom format and a manifest."""

import os
import shutil
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import IO, Final

import msgspec

from sql.errors import DatabaseError

MANIFEST: Final = "manifest.json"
DUMP: Final = "database.dump"
FORMAT: Final = 1


class Manifest(msgspec.Struct, frozen=True):
    """What a backup holds.

    Attributes
    ----------
    format
        Version of the file's layout.
    made_at
        When the snapshot was taken, UTC.
    postgres
        Version of the server that was dumped, such as ``18.6``.
    migrations
        Versions of the migrations that had been applied.
    rows
        Number of rows of each table.
    views
        Names of the views.
    schema
        Schema of the tables and views.
    roles
        Roles that privileges and policies name.
    """

    format: int
    made_at: datetime
    postgres: str
    migrations: tuple[str, ...]
    rows: dict[str, int]
    views: tuple[str, ...]
    schema: str
    roles: tuple[str, ...]


def write_backup(file: Path, manifest: Manifest, write_dump: Callable[[IO[bytes]], None]) -> None:
    """Write a backup file, which only its owner can read; it appears under its name when it is complete.

    Parameters
    ----------
    file
        Must not exist.
    manifest
        Its manifest.
    write_dump
        Writes the dump to the stream that it is given.

    Raises
    ------
    DatabaseError
        The file exists or can't be written, or the dump fails. Nothing is left of an incomplete file.
    """
    partial = file.with_name(f"{file.name}.partial")
    try:
        if file.exists():
            raise DatabaseError(
                f"{file} exists and is not replaced: give another name, such as one with the date"
            )
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w+b") as stream:
            # Stored as it is, because pg_dump compresses.
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
                archive.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
                with archive.open(DUMP, "w", force_zip64=True) as dump:
                    write_dump(dump)
            stream.flush()
            os.fsync(stream.fileno())
        partial.rename(file)
    except OSError as error:
        raise DatabaseError(f"can't write {file}: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)


def read_backup(file: Path, dump: Path) -> Manifest:
    """Extract the dump of a backup file, whose checksums are verified, and return the manifest.

    Parameters
    ----------
    file
        A file that `write_backup` wrote.
    dump
        File to extract the dump to.

    Raises
    ------
    DatabaseError
        The file is missing, damaged, incomplete or of another format, or there is no space for the dump.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            manifest = _manifest(file, archive.read(MANIFEST))
            with archive.open(DUMP) as source, dump.open("wb") as target:
                shutil.copyfileobj(source, target)
    except (zipfile.BadZipFile, KeyError, EOFError):
        raise DatabaseError(
            f"{file} is no complete backup: expected a file that `kronos backup` wrote; it may be damaged or "
            "cut off"
        ) from None
    except OSError as error:
        raise DatabaseError(f"can't read {file}: {error.strerror or error}") from None
    return manifest


def _manifest(file: Path, text: bytes) -> Manifest:
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except msgspec.DecodeError as error:
        raise DatabaseError(f"the manifest of {file} can't be read: {error}") from None
    if manifest.format != FORMAT:
        raise DatabaseError(
            f"{file} has format {manifest.format}, this version reads format {FORMAT}: "
            "restore it with the version that made it"
        )
    return manifest
