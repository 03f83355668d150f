"""Names the units in which errors and gains of several symbols are averaged."""

from typing import Final, Literal

Unit = Literal["bp", "volatility"]
"""Basis points of the last close, or volatilities: root mean squares of the moves in a forecast's window."""

SHORT_NAMES: Final[dict[Unit, str]] = {"bp": "bp", "volatility": "vol"}
"""As headings of tables have them."""

DIGITS: Final[dict[Unit, int]] = {"bp": 1, "volatility": 2}
"""Digits after the point of a figure in a unit."""
