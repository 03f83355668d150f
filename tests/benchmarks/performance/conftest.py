"""A server of the tiny bundle for the benchmarks that call one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.load import servers


@pytest.fixture(scope="session")
def tiny_server(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Running]:
    log = tmp_path_factory.mktemp("server") / "log"
    with servers.this_server(tiny_bundle, log, KRONOS_THREADS=1) as server:
        yield server
