"""The memory that may be used: the machine's, or a control group's limit of either version."""

from pathlib import Path

import psutil
import pytest

from inference_server.engine.memory import usable_memory

MACHINE = psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("own", "limits", "expected"),
    [
        ("0::/\n", {}, MACHINE),
        ("0::/\n", {"memory.max": "1000"}, 1000),
        ("0::/\n", {"memory.max": "max"}, MACHINE),
        ("0::/service/inner\n", {"service/memory.max": "900", "service/inner/memory.max": "max"}, 900),
        ("0::/service/inner\n", {"service/memory.max": "900", "service/inner/memory.max": "800"}, 800),
        ("0::/elsewhere\n", {"memory.max": "1000"}, 1000),
        ("3:cpu,memory:/own\n1:cpu:/\n", {"memory/own/memory.limit_in_bytes": "700"}, 700),
        ("3:memory:/outside\n", {"memory/memory.limit_in_bytes": "600"}, 600),
        ("3:memory:/\n", {"memory/memory.limit_in_bytes": str(2**63 - 4096)}, MACHINE),
    ],
)
def test_the_smallest_limit_around_the_process_counts(
    tmp_path: Path, own: str, limits: dict[str, str], expected: int
) -> None:
    own_groups = tmp_path / "cgroup"
    own_groups.write_text(own)
    for name, value in limits.items():
        file = tmp_path / "groups" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(value + "\n")
    assert usable_memory(tmp_path / "groups", own_groups) == expected


def test_without_control_groups_it_is_the_machines(tmp_path: Path) -> None:
    assert usable_memory(tmp_path, tmp_path / "none") == MACHINE
