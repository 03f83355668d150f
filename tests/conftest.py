"""Fixtures shared by the whole suite: the folder of real market data and a tiny exported bundle."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.market_data import market_folder, missing

# How long an example takes says how busy the machine is, and nothing of the code.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

# Each worker keeps to one thread: those that wait for one of another worker's take several times as long.
for variable in ("OMP_NUM_THREADS", "KRONOS_THREADS"):
    os.environ.setdefault(variable, "1")

pytest_plugins = [
    "tests.helpers.browser",
    "tests.helpers.bundles",
    "tests.helpers.cuda",
    "tests.helpers.databases",
]


@pytest.fixture(scope="session")
def market_data() -> Path:
    """Folder with real candles, calendar, rate decisions and segments (see `tests.market_data`)."""
    folder, absent = market_folder(), missing("fomc_rates.csv", "segments.csv")
    if absent:
        pytest.skip(
            f"no real market data: {folder} lacks {', '.join(absent)}; KRONOS_DATA names another folder"
        )
    return folder
