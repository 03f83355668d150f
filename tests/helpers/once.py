"""Makes a folder once for all worker processes of a test run."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def once_for_all_workers(
    tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]
) -> Path:
    """A folder that the first worker process of a run to need it makes; `make` is given its path."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    out = shared / name
    with FileLock(shared / f"{name}.lock"):
        if not out.is_dir():
            make(out)
    return out
