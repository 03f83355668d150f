"""Reads ``postmaster.pid``, in which Postgres notes its process id and port, and checks whose id it is.

The file outlives a killed server, and the system may give the process id to another program. So an id counts
only if the command line of its process is that of the postmaster of this data folder.
"""

import os
import subprocess
from pathlib import Path

from sql.embedded.account import write_private
from sql.embedded.installation import Installation

_UNUSED_ID = 2**31 - 1  # larger than any process id that Linux or macOS assigns


def postmaster(data: Path) -> int | None:
    """Return the process id of the running postmaster of a data folder; None if it does not run."""
    process_id = _process_id(_lines(data))
    if process_id is None:
        return None
    command = _command_line(process_id)
    program = Path(command.split(" -", 1)[0]).name
    return process_id if program == "postgres" and f" -D {data} " in f"{command} " else None


def port(data: Path) -> int | None:
    """Return the TCP port noted in the file; None while Postgres has not noted it yet."""
    lines = _lines(data)
    return int(lines[3]) if len(lines) > 3 and lines[3].isdigit() else None


def clear_stale_id(installation: Installation) -> None:
    """Prepare the pid file of a server that is gone for the next start.

    Postgres refuses to start while any process has the noted id, so an id that another program has by now is
    replaced by an unused one. The other lines stay, because Postgres finds by them the children of the dead
    server that still hold its shared memory. An empty file, which a crash can leave, is removed.
    """
    file = installation.data / "postmaster.pid"
    lines = _lines(installation.data)
    process_id = _process_id(lines)
    if file.exists() and not lines:
        file.unlink()
    elif process_id is not None and _exists(process_id):
        write_private(file, "\n".join([str(_UNUSED_ID), *lines[1:], ""]), installation.account)


def _lines(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _process_id(lines: list[str]) -> int | None:
    return int(lines[0]) if lines and lines[0].isdigit() else None


def _exists(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # the process of another user
        return True
    return True


def _command_line(process_id: int) -> str:
    """Return the command line of a process, joined by spaces; empty if there is no such process."""
    if Path("/proc/self/cmdline").exists():
        try:
            raw = Path(f"/proc/{process_id}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return ""
        return raw.decode(errors="replace").replace("\0", " ").strip()
    listing = subprocess.run(  # macOS has no /proc
        ["ps", "-ww", "-o", "args=", "-p", str(process_id)], capture_output=True, text=True, check=False
    )
    return listing.stdout.strip()
