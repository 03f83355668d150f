"""Has the C library take its large blocks from huge pages, from which weights and caches are read faster.

A step reads all weights. On pages of 4 kB the processor looks up a hundred thousand addresses for those of
Kronos-base: on two Xeon cores its steps took 11 to 20 % more time (docs/performance.md). Linux gives pages of
2 MB to memory for which a program asks (`madvise`, the default of most distributions), and glibc asks where
its tunable `glibc.malloc.hugetlb` is 1. It reads tunables when a process starts, so the program starts again.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

TUNABLES: Final = "GLIBC_TUNABLES"
HUGE_PAGES: Final = "glibc.malloc.hugetlb"
_FIRST_GLIBC: Final = (2, 35)  # the first with the tunable
_MODE: Final = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def restart_with_huge_pages() -> None:
    """Replace this process by the same command with glibc's huge pages, where that is possible and not done.

    Call it before anything is open that the command could not open again. A value for
    `glibc.malloc.hugetlb` that the environment has already stays as it is.
    """
    tunables = tunables_for(os.environ, _mode(), _libc())
    if tunables is None:
        return
    os.environ[TUNABLES] = tunables
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def tunables_for(environment: Mapping[str, str], mode: str, libc: str) -> str | None:
    """Return the tunables to start with, or None where a restart would change nothing.

    Parameters
    ----------
    environment
        The process's.
    mode
        The content of `/sys/kernel/mm/transparent_hugepage/enabled`, such as "always [madvise] never".
    libc
        Name and version of the C library, such as "glibc 2.36".
    """
    given = environment.get(TUNABLES, "")
    if "[madvise]" not in mode or HUGE_PAGES in given or _version(libc) < _FIRST_GLIBC:
        return None
    return ":".join(filter(None, (given, f"{HUGE_PAGES}=1")))


def _version(libc: str) -> tuple[int, ...]:
    name, _, version = libc.partition(" ")
    numbers = version.split(".")
    return tuple(map(int, numbers)) if name == "glibc" and all(map(str.isdecimal, numbers)) else (0,)


def _mode() -> str:
    try:
        return _MODE.read_text()
    except OSError:  # not Linux, or built without huge pages
        return ""


def _libc() -> str:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, ValueError):  # another C library
        return ""
