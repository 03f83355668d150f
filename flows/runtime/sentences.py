"""Writes lists of names for sentences that people read."""

from collections.abc import Sequence
from typing import Final

MOST_NAMES: Final = 100
"""Names in a sentence; a lost database may fail thousands of symbols."""


def listed(names: Sequence[str]) -> str:
    """Return names separated by commas; of many, `MOST_NAMES` and the number of the others."""
    more = len(names) - MOST_NAMES
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:MOST_NAMES])} and {more:,} more"
