"""Locks the folder of an embedded Postgres, so that one process at a time starts or stops its server."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sql.errors import DatabaseError


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Hold the lock of a folder, which is made if missing; yields the lock's file descriptor.

    The system frees the lock when the processes that hold the descriptor have ended, even by a kill.

    Raises
    ------
    DatabaseError
        If the folder can't be made or written to, or belongs to another user.
    """
    try:
        if not folder.exists():
            folder.mkdir(parents=True)
            # For root another account runs the server, which has to pass through this folder.
            folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        raise other_owner(folder, error) from None
    except OSError as error:
        raise DatabaseError(f"can't use {folder} for the embedded Postgres: {error}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    except PermissionError as error:
        raise other_owner(folder, error) from None
    finally:
        os.close(lock)


def other_owner(folder: Path, error: PermissionError) -> DatabaseError:
    """Return the error for a folder that another user owns."""
    return DatabaseError(
        f"the embedded Postgres in {folder} belongs to another user ({error}): "
        "work as that user, or set KRONOS_DATA_DIR to a folder of your own"
    )
