"""Parts of an installation are killed during runs: no row is missing, stored twice or half visible."""

import os
import random
from pathlib import Path

from benchmarks.chaos.installation import Installation
from benchmarks.chaos.market import AS_OFS
from benchmarks.chaos.reader import Reader
from benchmarks.chaos.rounds import deploy, plan, play

ROUNDS, FAULTS = 2, 3  # every kind of part is killed at least once


def test_killed_parts_cost_no_row(tiny_bundle: Path) -> None:
    """Repeat a failure with the seed that it prints, in ``CHAOS_SEED``."""
    seed = int(os.environ.get("CHAOS_SEED") or random.randrange(10**6))
    print(f"CHAOS_SEED={seed}")  # pytest shows it where the test fails
    chance = random.Random(seed)
    with Installation(tiny_bundle) as installation, Reader(installation.database_url) as reader:
        deployment = deploy(installation)
        for as_of, faults in zip(AS_OFS, plan(seed, ROUNDS, lambda _: FAULTS), strict=False):
            played = play(installation, deployment, as_of, faults, chance)
            assert played.missing == []
            assert played.repeated.kind == "COMPLETED", played.repeated
    assert reader.reads > 0
    assert list(reader.faults) == []
