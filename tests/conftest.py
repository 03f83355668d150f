"""Fixtures shared by the whole suite: the folder of real market data and a tiny exported bundle."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, and nothing of the code.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

# Each worker keeps to one thread: those that wait for one of another worker's take several times as long.
for variable in ("OMP_NUM_THREADS", "KRONOS_THREADS"):
    os.environ.setdefault(variable, "1")

pytest_plugins = ["tests.helpers.bundles", "tests.helpers.cuda", "tests.helpers.databases"]

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def market_data() -> Path:
    """Folder with real candles and a calendar (KRONOS_DATA, else ../shared/data beside the repository)."""
    folder = Path(os.environ.get("KRONOS_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "candles_1h.parquet").is_file():
        pytest.skip(f"no real market data in {folder}; set KRONOS_DATA to a folder with candles_1h.parquet")
    return folder
