"""Builds the part of a request that asks for statistics of the sample paths."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from inference_server.schemas import ProbabilityRequest
from market.warning_codes import WarningCode, warning


@dataclass(frozen=True)
class WantedStatistics:
    """Statistics that the rows of a run have beside the envelope; none by default.

    Attributes
    ----------
    quantiles
        Levels strictly between 0 and 1.
    moves
        Changes of the last close, 0.02 for two per cent up: prices whose probabilities are given. Empty for
        P(up) alone, None for no probabilities.
    realised_volatility
        Whether quantiles of realised volatility are given.
    """

    quantiles: tuple[float, ...] = ()
    moves: tuple[float, ...] | None = None
    realised_volatility: bool = False

    def __post_init__(self) -> None:
        for move in self.moves or ():
            if not -1 < move < math.inf:
                raise ValueError(
                    f"moves holds {move:g}; expected changes of the last close above -1, such as -0.02 for "
                    "two per cent down"
                )

    def __bool__(self) -> bool:
        return bool(self.quantiles) or self.moves is not None or self.realised_volatility


def request_fields(wanted: WantedStatistics, last_close: float) -> dict[str, Any]:
    """Return the fields of a symbol's request that ask for its statistics; empty if none are wanted."""
    fields: dict[str, Any] = {}
    if wanted.quantiles:
        fields["quantiles"] = list(wanted.quantiles)
    if wanted.moves is not None:
        prices = moved_prices(wanted.moves, last_close)
        fields["probabilities"] = ProbabilityRequest(close_above=prices, touch=prices)
    if wanted.realised_volatility:
        fields["realised_volatility"] = True
    return fields


def moved_prices(moves: Sequence[float], last_close: float) -> list[float]:
    """Return the prices that changes of the last close lead to, with 12 digits.

    None where the last close is zero or below, of which no share is a price.
    """
    return [float(f"{last_close * (1 + move):.12g}") for move in moves] if last_close > 0 else []


def undefined_warnings(wanted: WantedStatistics, last_close: float) -> list[str]:
    """Return a warning if the last close is zero or below, so that moves define no prices."""
    if not wanted.moves or last_close > 0:
        return []
    return [
        warning(
            WarningCode.STATISTICS_UNDEFINED,
            f"the last close is {last_close:g}, so that moves name no prices: probabilities hold P(up) alone",
        )
    ]
