"""Temporary folders for databases, in memory where the machine has room: none then waits for a disk."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = Path("/dev/shm")  # a file system in memory, on Linux
ROOM_BYTES = 2 << 30  # what all databases of a run may take at once, several times over


def folder_in_memory() -> Path | None:
    """Folder whose files stay in memory; None where there is none with room, or it runs no programs."""
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK | os.X_OK):
        return None
    programs_may_run = not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
    return MEMORY if programs_may_run and shutil.disk_usage(MEMORY).free > ROOM_BYTES else None


@contextmanager
def database_folder(name: str) -> Iterator[Path]:
    """Make a folder that every account can enter, and delete it: for root, another one runs Postgres."""
    with tempfile.TemporaryDirectory(prefix=f"kronos-{name}-", dir=folder_in_memory()) as path:
        folder = Path(path)
        folder.chmod(0o711)
        yield folder
