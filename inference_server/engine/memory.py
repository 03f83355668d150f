"""Returns how much memory this process may use: the machine's, or the limit of a control group."""

from pathlib import Path

import psutil

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


def usable_memory(groups: Path = _GROUPS, own_groups: Path = _OWN_GROUPS) -> int:
    """Return the bytes of the machine's memory, or the smallest limit of the control groups of this process.

    Parameters
    ----------
    groups
        Where the control groups are mounted, of version 1 or 2.
    own_groups
        The file that names the groups of this process; in a container often just "/".
    """
    limits = [psutil.virtual_memory().total]
    try:
        lines = own_groups.read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    for line in lines:
        _, controllers, own = line.split(":", 2)
        if not controllers:
            limits += _limits(groups, own, "memory.max")
        elif "memory" in controllers.split(","):
            limits += _limits(groups / "memory", own, "memory.limit_in_bytes")
    return min(limits)


def _limits(mount: Path, own: str, name: str) -> list[int]:
    """Return the limits of a control group and of its parents."""
    inner = mount / own.strip("/")
    limits = []
    for folder in (inner, *inner.parents):
        if folder.is_relative_to(mount):
            try:
                limits.append(int((folder / name).read_text()))
            except (OSError, ValueError):  # no such group here, or "max"
                continue
    return limits
