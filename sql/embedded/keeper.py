"""Keeps the embedded Postgres running for a process manager, as one process in the foreground."""

import signal
import threading
from types import FrameType
from typing import Final

from sql.embedded import server
from sql.embedded.launch import log_file, rotate_log
from sql.errors import DatabaseError

_PAUSE_S: Final = 1.0
"""Seconds between two looks at the server."""


def keep_running() -> None:
    """Start the server unless it runs, wait until SIGTERM or SIGINT, and stop it.

    The server goes on where this process is killed; the next one takes it over.

    Raises
    ------
    DatabaseError
        The server can't start, or it ended by itself: the process manager should call this again.
    """
    asked_to_stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        asked_to_stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    folder = server.data_folder()
    server.start(folder, same_port=True)
    data = (folder / "data").resolve()  # a link where root made it
    while not asked_to_stop.wait(_PAUSE_S):
        if server.running(folder) is None:
            raise DatabaseError(f"the Postgres in {folder} has ended: see {log_file(data)}")
        rotate_log(data)
    server.stop(folder)
