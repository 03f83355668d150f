"""Decides which binaries, which data folder and which account an embedded Postgres has.

An ordinary user runs the package's binaries on ``<folder>/data``. Root hands the server to another account,
which often can't enter root's folders (a checkout in ``/root``, say). No folder is opened to it: whatever it
can't reach goes below `SHARED_ROOT` instead.
"""

import hashlib
import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sql.embedded import account as accounts
from sql.embedded import binaries
from sql.errors import DatabaseError

SHARED_ROOT = Path("/var/lib/kronos-events")
"""Holds the binaries and the data that root's server account can't reach elsewhere; used by root alone."""


@dataclass(frozen=True)
class Installation:
    """Binaries, data folder and account of one embedded Postgres."""

    programs: Path
    data: Path
    account: pwd.struct_passwd | None  # None: the account of this process

    def run(
        self, program: str, *arguments: str, inherit: tuple[int, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run one of the binaries to its end, under the account; stdout and stderr are captured.

        Parameters
        ----------
        program, *arguments : str
            Name of the binary, and its command line.
        inherit : tuple of int
            File descriptors that it keeps open, such as a lock that has to outlive a kill of this process.

        Raises
        ------
        DatabaseError
            If it can't be run under that account.
        """
        try:
            return subprocess.run(
                [self.programs / program, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                cwd="/",  # the account may not be allowed into the current folder
                env={"PATH": os.defpath, "LC_ALL": "C"},
                pass_fds=inherit,
                check=False,
                **accounts.process_identity(self.account),
            )
        except (OSError, subprocess.SubprocessError) as error:
            name = self.account.pw_name if self.account else "this account"
            raise DatabaseError(
                f"can't run {program} of the embedded Postgres as {name}: {error}; "
                "set DATABASE_URL to another Postgres"
            ) from None


def find_installation(folder: Path) -> Installation:
    """Return the installation for a folder; for root, the folders that its account needs are made.

    Raises
    ------
    DatabaseError
        If the package is not installed, the folder can't be used, or no account can run the server.
    """
    binaries.version()
    package = binaries.package_folder()
    if os.geteuid() != 0:
        return Installation(binaries.programs(package), folder / "data", account=None)
    account = accounts.server_account(folder / "data")
    return Installation(_reachable_programs(package, account), _reachable_data(folder, account), account)


def _reachable_programs(package: Path, account: pwd.struct_passwd) -> Path:
    """Return the package's binaries; if the account can't reach them, those of a copy in `SHARED_ROOT`."""
    if not accounts.can_enter(account, binaries.programs(package)):
        package = binaries.copy_package(package, _shared_folder("binaries"))
    return binaries.programs(package)


def _reachable_data(folder: Path, account: pwd.struct_passwd) -> Path:
    """Return the data folder; where the account can't reach ``folder``, make it a link into `SHARED_ROOT`."""
    data = folder / "data"
    if not data.exists() and not accounts.can_enter(account, folder):
        digest = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
        shared = _shared_folder("data") / digest
        shared.mkdir(mode=0o711, exist_ok=True)
        data.unlink(missing_ok=True)
        data.symlink_to(shared / "data")
    data = data.resolve()
    if not accounts.can_enter(account, data.parent):
        raise DatabaseError(
            f"{account.pw_name}, who runs the embedded Postgres for root, can't reach {data.parent}: "
            "set KRONOS_DATA_DIR to a folder that it can reach"
        )
    return data


def _shared_folder(name: str) -> Path:
    folder = SHARED_ROOT / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        SHARED_ROOT.chmod(0o755)
        folder.chmod(0o755)
    except OSError as error:
        raise DatabaseError(
            f"can't make {folder}: {error}; "
            f"set KRONOS_DATA_DIR to a folder that {' or '.join(accounts.CANDIDATES)} can reach"
        ) from None
    return folder
