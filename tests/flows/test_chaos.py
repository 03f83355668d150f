"""Parts of an installation are killed during runs: no row is missing, stored twice or half visible."""

import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.chaos.installation import Installation
from benchmarks.chaos.market import AS_OFS
from benchmarks.chaos.reader import Reader
from benchmarks.chaos.rounds import deploy, plan, play
from tests.helpers.database_folders import folder_in_memory
from tests.helpers.prefect_servers import new_prefect_database

ROUNDS, FAULTS = 2, 3  # every kind of part is killed at least once


@pytest.fixture
def installation(
    tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Installation]:
    """Its files are in memory, and its Prefect server has a database."""
    monkeypatch.setattr(tempfile, "tempdir", None if (memory := folder_in_memory()) is None else str(memory))
    installation = Installation(tiny_bundle)
    installation.prefect_home.mkdir()
    shutil.copy(new_prefect_database(tmp_path_factory), installation.prefect_home)
    with installation:
        yield installation


def test_killed_parts_cost_no_row(installation: Installation) -> None:
    """Repeat a failure with the seed that it prints, in ``CHAOS_SEED``."""
    seed = int(os.environ.get("CHAOS_SEED") or random.randrange(10**6))
    print(f"CHAOS_SEED={seed}")  # pytest shows it where the test fails
    chance = random.Random(seed)
    with Reader(installation.database_url) as reader:
        deployment = deploy(installation)
        for as_of, faults in zip(AS_OFS, plan(seed, ROUNDS, lambda _: FAULTS), strict=False):
            played = play(installation, deployment, as_of, faults, chance)
            assert played.missing == []
            assert played.repeated.kind == "COMPLETED", played.repeated
    assert reader.reads > 0
    assert list(reader.faults) == []
