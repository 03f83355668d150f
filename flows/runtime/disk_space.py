"""Finds file systems with little free space, before a full one stops the database and the Prefect server."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

_MIB: Final = 2**20


def low_space(folders: Iterable[Path]) -> list[str]:
    """Return a sentence for each file system of some folders whose free space is below the limit.

    The limit is `KRONOS_MIN_FREE_MB`, 1024 MiB unless set. Folders that do not exist are left out.

    Raises
    ------
    ValueError
        ``KRONOS_MIN_FREE_MB`` is not a whole number of MiB.
    """
    limit = _limit_mb() * _MIB
    found: dict[int, str] = {}
    for folder in folders:
        if not folder.exists():
            continue
        usage = shutil.disk_usage(folder)
        if usage.free < limit:
            found[folder.stat().st_dev] = (
                f"DISK NEARLY FULL: {usage.free / _MIB:,.0f} MiB of {usage.total / _MIB:,.0f} are free where "
                f"{folder} is, less than KRONOS_MIN_FREE_MB ({limit // _MIB:,}): free some, or the database "
                "stops"
            )
    return list(found.values())


def growing_folders() -> list[Path]:
    """Return Prefect's folder, the embedded database's and the current one."""
    variables = ("PREFECT_HOME", "KRONOS_DATA_DIR")
    return [*(Path(path) for name in variables if (path := os.environ.get(name))), Path()]


def _limit_mb() -> int:
    text = os.environ.get("KRONOS_MIN_FREE_MB", "").strip() or "1024"
    try:
        limit: int = msgspec.convert(text, Annotated[int, Meta(ge=0)], strict=False)
    except msgspec.ValidationError:
        raise ValueError(
            f"KRONOS_MIN_FREE_MB is {text!r}; expected a whole number of MiB, 0 or more"
        ) from None
    return limit
