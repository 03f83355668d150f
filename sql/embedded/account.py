"""Chooses the account that runs the embedded Postgres for root, and does things in its name.

Postgres refuses to run as root, so root hands it to the account ``postgres`` or ``nobody``.
"""

import os
import pwd
import subprocess
from pathlib import Path
from typing import Any

from sql.errors import DatabaseError

CANDIDATES = ("postgres", "nobody")
"""Accounts that may run the server for root; the first that exists is taken."""


def server_account(data: Path) -> pwd.struct_passwd:
    """Return the account that runs the server of a data folder for root: its owner, else a candidate.

    Raises
    ------
    DatabaseError
        If the owner of the data has no account, or neither candidate exists.
    """
    if data.exists() and data.stat().st_uid != 0:
        try:
            return pwd.getpwuid(data.stat().st_uid)
        except KeyError:
            raise DatabaseError(
                f"{data} belongs to user {data.stat().st_uid}, who has no account here"
            ) from None
    for name in CANDIDATES:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise DatabaseError(
        "Postgres refuses to run as root, and there is no account "
        f"{' or '.join(CANDIDATES)} to run it: work as an ordinary user, or set DATABASE_URL"
    )


def process_identity(account: pwd.struct_passwd | None) -> dict[str, Any]:
    """Return the arguments of `subprocess.run` that run a program under an account; none for None."""
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": [], "umask": 0o077}


def can_enter(account: pwd.struct_passwd, folder: Path) -> bool:
    """Whether an account may enter a folder and its parents.

    A shell under that account tries it, because mode bits alone leave out access control lists.

    Raises
    ------
    DatabaseError
        If no process can be started under that account.
    """
    try:
        shell = subprocess.run(
            ["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)],
            capture_output=True,
            cwd="/",
            check=False,
            **process_identity(account),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise DatabaseError(
            f"root can't start a process as {account.pw_name} here ({error}): "
            "set DATABASE_URL to another Postgres"
        ) from None
    return shell.returncode == 0


def write_private(file: Path, text: str, owner: pwd.struct_passwd | None = None) -> None:
    """Replace a file in one step; it is never readable for anyone but its owner.

    Parameters
    ----------
    file : Path
        The file to replace or make.
    text : str
        Its content.
    owner : pwd.struct_passwd, optional
        The account that gets the file; the one of this process unless given.
    """
    scratch = file.with_name(f"{file.name}.new")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
    if owner is not None:
        os.chown(scratch, owner.pw_uid, owner.pw_gid)
    scratch.replace(file)
