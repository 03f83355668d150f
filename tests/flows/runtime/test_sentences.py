"""Lists of names in sentences."""

import pytest

from flows.runtime.sentences import MOST_NAMES, listed

MANY = [f"S{number}" for number in range(MOST_NAMES + 1200)]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["SPY"], "SPY"),
        (["SPY", "QQQ"], "SPY, QQQ"),
        (MANY[:MOST_NAMES], ", ".join(MANY[:MOST_NAMES])),
        (MANY, f"{', '.join(MANY[:MOST_NAMES])} and 1,200 more"),
    ],
)
def test_of_many_names_the_first_are_listed(names: list[str], text: str) -> None:
    assert listed(names) == text
