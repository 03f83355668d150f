"""Parity of Kronos-mini's size; a file of its own, so that the sizes can run in parallel."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.parity import checks
from tests.parity.conftest import Pair


@pytest.fixture(scope="module")
def mini(pair: Callable[[str], Pair]) -> Pair:
    return pair("mini")


def test_greedy_path_over_120_steps(mini: Pair, market_data: Path) -> None:
    checks.greedy_path_over_120_steps(mini, market_data)


def test_greedy_path_where_the_context_slides_at_every_step(mini: Pair, market_data: Path) -> None:
    checks.greedy_path_where_the_context_slides_at_every_step(mini, market_data, steps=30)


@pytest.mark.parametrize("settings", [{"top_p": 0.9}, {"top_k": 40, "temperature": 0.7}])
def test_sampled_paths_of_the_same_draws(mini: Pair, market_data: Path, settings: dict[str, Any]) -> None:
    checks.sampled_paths_of_the_same_draws(mini, market_data, 24, sample_count=2, **settings)
