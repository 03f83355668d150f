"""Replaces a folder by another so that one of the two is there if the process is killed."""

import ctypes
import os
import sys
from pathlib import Path

_RENAME_EXCHANGE = 2  # linux/fs.h
_AT_FDCWD = -100  # linux/fcntl.h: paths are as the process sees them


def put_in_place(folder: Path, out: Path) -> None:
    """Move a folder to `out`; a folder that was there is moved to the other's place, or removed.

    On Linux the two change places in one step (renameat2 with RENAME_EXCHANGE). Where the system or its file
    system can't, the old folder is kept beside `out` until the new one is in place, and `restore` moves it
    back after a crash.
    """
    if not out.exists():
        folder.replace(out)
        return
    if _exchanged(folder, out):
        return
    waiting = _waiting_place(out)
    out.replace(waiting)
    try:
        folder.replace(out)
    except BaseException:
        waiting.replace(out)
        raise
    waiting.replace(folder)


def restore(out: Path) -> None:
    """Move the old folder back to `out` after a crash in `put_in_place`."""
    waiting = _waiting_place(out)
    if waiting.is_dir() and not out.exists():
        waiting.replace(out)


def _waiting_place(out: Path) -> Path:
    return out.with_name(f".{out.name}.replaced")


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two paths in one step; False, with nothing changed, where the system can't."""
    if not sys.platform.startswith("linux"):
        return False
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # since glibc 2.28, musl 1.2.6
    if rename is None:
        return False
    status: int = rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    return status == 0
