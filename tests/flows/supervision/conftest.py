"""Fixtures of the tests of `kronos up`."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder whose path is short enough for a Unix socket in it; pytest's own depends on user and test."""
    with tempfile.TemporaryDirectory(prefix="kronos-") as name:
        yield Path(name)
