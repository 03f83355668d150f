"""Names the files that belong to the processes of one machine: configuration, secrets, logs, what runs."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flows.supervision.errors import UpError

FOLDER: Final = Path(".data") / "up"
_LONGEST_SOCKET: Final = 100
"""Bytes of the longest path of a Unix socket on every system (macOS has 104), with a byte for its end."""


@dataclass(frozen=True)
class UpFolder:
    """The files of one set of processes.

    Attributes
    ----------
    path
        Absolute path of the folder, which only its owner can enter.
    """

    path: Path

    @classmethod
    def here(cls) -> "UpFolder":
        """Return the folder below the current one."""
        return cls(FOLDER.resolve())

    @property
    def configuration(self) -> Path:
        """The configuration of supervisord, written by `kronos up`."""
        return self.path / "supervisord.conf"

    @property
    def socket(self) -> Path:
        """The Unix socket over which supervisord is asked."""
        return self.path / "supervisor.sock"

    @property
    def supervisor_pid(self) -> Path:
        """The file with the process id of supervisord."""
        return self.path / "supervisord.pid"

    @property
    def secrets(self) -> Path:
        """The generated passwords and keys."""
        return self.path / "secrets.env"

    @property
    def running(self) -> Path:
        """The settings with which the processes were started."""
        return self.path / "running.json"

    @property
    def logs(self) -> Path:
        """The folder of the logs."""
        return self.path / "logs"

    @property
    def prefect(self) -> Path:
        """Prefect's folder, with the database of its server."""
        return self.path / "prefect"

    @property
    def bundle(self) -> Path:
        """The exported demo model."""
        return self.path / "kronos-demo"

    def log(self, name: str) -> Path:
        """Return the log of a program."""
        return self.logs / f"{name}.log"

    def make(self) -> None:
        """Make the folder and its subfolders, readable for their owner alone.

        Raises
        ------
        UpError
            It can't be made, or its path is one that supervisord can't use.
        """
        if len(os.fsencode(self.socket)) > _LONGEST_SOCKET:
            raise UpError(
                f"the path of {self.path} is too long for a Unix socket in it, which may have "
                f"{_LONGEST_SOCKET} bytes: work in a folder with a shorter path"
            )
        if "%" in str(self.path):
            raise UpError(
                f"the path of {self.path} has a % in it, which supervisord takes for a mark: rename it"
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.path.chmod(0o700)
            for folder in (self.logs, self.prefect):
                folder.mkdir(exist_ok=True)
        except OSError as error:
            raise UpError(f"can't use {self.path}: {error.strerror or error}") from None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let one process at a time start or stop what runs here; the others wait."""
        with (self.path / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
