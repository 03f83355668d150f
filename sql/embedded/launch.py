"""Launches the postmaster of a prepared data folder with ``pg_ctl``, on a free port of 127.0.0.1."""

import os
import shutil
import socket
import time
from pathlib import Path
from typing import Final

from sql.embedded import pid_file
from sql.embedded.installation import Installation
from sql.errors import DatabaseError

PAUSE_S = 0.05
"""Seconds between two looks at a server that is starting."""
LARGEST_LOG: Final = 10 * 2**20
"""Bytes of the server's log beyond which it is moved to ``server.log.1``."""
# What Postgres logs while children of a killed postmaster still end, and when another program took the port.
_TRANSIENT = (
    "pre-existing shared memory block",
    "could not bind",
    "could not create any TCP/IP sockets",
)


def log_file(data: Path) -> Path:
    """Return the server's log file."""
    return data / "server.log"


def rotate_log(data: Path) -> None:
    """Copy a log that has become large to ``server.log.1``, and empty it for the running server."""
    log = log_file(data)
    if log.exists() and log.stat().st_size > LARGEST_LOG:
        shutil.copyfile(log, log.with_name(f"{log.name}.1"))
        os.truncate(log, 0)


def launch(installation: Installation, timeout_s: float, deadline: float, *, same_port: bool = False) -> None:
    """Start the postmaster; it runs on return, but may not accept connections yet.

    Parameters
    ----------
    installation : Installation
        With an initialised data folder.
    timeout_s : float
        Seconds that one start of the postmaster may take.
    deadline : float
        Reading of `time.monotonic` after which a transient failure is not tried again.
    same_port : bool
        Whether the port has to be that of the last start.

    Raises
    ------
    DatabaseError
        If the postmaster does not start; the message quotes its log.
    """
    rotate_log(installation.data)
    while True:
        failure = _try_launch(installation, timeout_s, same_port=same_port)
        if failure is None:
            return
        transient = any(reason in failure for reason in _TRANSIENT)
        if not transient or time.monotonic() > deadline:
            raise DatabaseError(f"the Postgres in {installation.data} did not start: {_summary(failure)}")
        time.sleep(PAUSE_S)


def _try_launch(installation: Installation, timeout_s: float, *, same_port: bool) -> str | None:
    """Start the postmaster once; return what it logged if it failed, else None."""
    pid_file.clear_stale_id(installation)
    port = _free_port(installation.data.with_name("port"), same_port=same_port)
    log = log_file(installation.data)
    log_size = log.stat().st_size if log.exists() else 0
    pg_ctl = installation.run(
        "pg_ctl", "start", "-D", str(installation.data), "-l", str(log), "-w", "-t", f"{timeout_s:.0f}",
        # No Unix socket: its path may be 107 bytes at most, and every connection goes over TCP.
        "-o", f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c timezone=UTC",
    )  # fmt: skip
    if pg_ctl.returncode == 0 or pid_file.postmaster(installation.data) is not None:
        return None
    return _text_after(log, log_size) or pg_ctl.stderr.strip()


def _summary(failure: str) -> str:
    """Return the lines of a log that say why the server ended; its last three if none does."""
    lines = failure.splitlines()
    return " ".join([line for line in lines if "FATAL" in line or "HINT" in line] or lines[-3:])


def _text_after(log: Path, position: int) -> str:
    if not log.exists():
        return ""
    with log.open(encoding="utf-8", errors="replace") as stream:
        stream.seek(position)
        return stream.read().strip()


def _free_port(port_file: Path, *, same_port: bool) -> int:
    """Return the port of the last start if it is free, so that URLs stay valid, else another one.

    The port is noted in the file for the next start. With `same_port` no other one is taken.
    """
    try:
        noted = int(port_file.read_text())
        candidates = [noted] if same_port else [noted, 0]
    except (OSError, ValueError):
        candidates = [0]  # the system chooses
    for candidate in candidates:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            port = int(probe.getsockname()[1])
            port_file.write_text(str(port))
            return port
    if same_port:
        raise DatabaseError(
            f"port {candidates[0]} of 127.0.0.1, which the database had, is taken by another program"
        )
    raise DatabaseError("no TCP port is free on 127.0.0.1")
