"""The code of a folding quantiser: the quantities of a candle that its bits describe, and their cells."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np

from export.model.config import TokenizerConfig
from market.types import Float64Array


class Quantity(IntEnum):
    """A quantity of a normalised candle that has bits of its own.

    Amount has none: it is volume times a price that hardly moves within a window.
    """

    CLOSE = 0
    OPEN = 1
    """Open minus close; HIGH and LOW likewise."""
    HIGH = 2
    LOW = 3
    VOLUME = 4


FROM_FEATURES: Final = np.array(
    [
        [0, 0, 0, 1, 0, 0],
        [1, 0, 0, -1, 0, 0],
        [0, 1, 0, -1, 0, 0],
        [0, 0, 1, -1, 0, 0],
        [0, 0, 0, 0, 1, 0],
    ],
    np.float64,
)
"""(quantities, 6): each quantity from open, high, low, close, volume and amount."""

TO_FEATURES: Final = np.array(
    [[1, 0, 0, 0, 0], [1, 0, 1, 0, 0], [1, 0, 0, 1, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1]],
    np.float64,
)
"""(6, quantities): each feature from the quantities. The open is first set to the close; the decoder then
adds the change from the close before. The bits of the open have no effect until training uses them."""

COARSE_BITS: Final = 5
"""Bits of a quantity that come from the first folding; a close has four more, from a second one."""

PRICE_LIMIT: Final = 10.0
"""Normalised close at which the cells end.

A history lies within ±5 of its mean (`market.normalise.CLIP`), and the future may leave that range: of hourly
windows of 392 + 120 candles, 6 to 10 % do, and 0.3 to 1.5 % leave ±10.
"""

_KNEE: Final = 0.94  # cells of the close are narrow within so many standard deviations, and wider beyond


class CodeBit(NamedTuple):
    """One bit of the Gray code of a quantity; rank 0 is the most significant."""

    quantity: Quantity
    rank: int


# The bits of the two tokens, those that matter most first; a shorter token leaves the last ones out. S2 takes
# the first bit of volume where s1 has no room for it.
_S1_BITS: Final = (
    *(CodeBit(Quantity.CLOSE, rank) for rank in range(COARSE_BITS)),
    CodeBit(Quantity.HIGH, 0),
    CodeBit(Quantity.LOW, 0),
    CodeBit(Quantity.HIGH, 1),
    CodeBit(Quantity.LOW, 1),
    CodeBit(Quantity.VOLUME, 0),
)
_S2_BITS: Final = (
    *(CodeBit(Quantity.CLOSE, rank) for rank in range(COARSE_BITS, COARSE_BITS + 3)),
    CodeBit(Quantity.HIGH, 2),
    CodeBit(Quantity.LOW, 2),
    CodeBit(Quantity.OPEN, 0),
    CodeBit(Quantity.VOLUME, 0),
    CodeBit(Quantity.VOLUME, 1),
    CodeBit(Quantity.CLOSE, COARSE_BITS + 3),
    CodeBit(Quantity.VOLUME, 2),
    CodeBit(Quantity.OPEN, 1),
    CodeBit(Quantity.VOLUME, 3),
)


@dataclass(frozen=True)
class Code:
    """The bits of a tokenizer and the cells that they number.

    Attributes
    ----------
    bits
        In the order in which the tokenizer emits them, those of s1 first.
    edges
        By quantity: the increasing edges (cells + 1,) of the cells that its coarse bits number.
    """

    bits: tuple[CodeBit, ...]
    edges: dict[Quantity, Float64Array]

    def coarse_positions(self, quantity: Quantity) -> list[int]:
        """Return the positions in the code of a quantity's coarse bits, the most significant first."""
        return _positions(self.bits, quantity)[:COARSE_BITS]

    def fine_positions(self) -> list[int]:
        """Return the positions in the code of the close's fine bits, the most significant first."""
        return _positions(self.bits, Quantity.CLOSE)[COARSE_BITS:]


def fitted_code(config: TokenizerConfig, candles: Float64Array) -> Code:
    """Return the code of a tokenizer whose cells suit (n, 6) normalised candles.

    The close has cells of a fixed spacing; the cells of the other quantities have the least squared error.
    """
    s1 = _S1_BITS[: config.s1_bits]
    bits = s1 + tuple(bit for bit in _S2_BITS if bit not in s1)[: config.s2_bits]
    spacing = np.linspace(-1, 1, 2**COARSE_BITS + 1)
    edges = {Quantity.CLOSE: _KNEE * np.sinh(spacing * np.arcsinh(PRICE_LIMIT / _KNEE))}
    for quantity in list(Quantity)[1:]:
        cells = 2 ** len(_positions(bits, quantity))
        edges[quantity] = _least_squares_edges(candles @ FROM_FEATURES[quantity], cells)
    return Code(bits, edges)


def gray_waves(ranks: range, positions: Float64Array) -> Float64Array:
    """Return the triangle waves whose signs are the bits of a Gray code.

    Parameters
    ----------
    ranks
        Bits of the code, 0 for the most significant. The wave of rank k is ±1 at multiples of 2^-k.
    positions
        (n,) in [0, 1]: 0 at the lower edge of the first cell, 1 at the upper edge of the last.

    Returns
    -------
    (len(ranks), n)
    """
    phases = np.stack([positions * 2**rank % 2 for rank in ranks])
    return np.asarray(np.where(phases <= 1, 2 * phases - 1, 3 - 2 * phases))


def _positions(bits: tuple[CodeBit, ...], quantity: Quantity) -> list[int]:
    ranked = [(bit.rank, position) for position, bit in enumerate(bits) if bit.quantity is quantity]
    return [position for _, position in sorted(ranked)]


def _least_squares_edges(sample: Float64Array, count: int) -> Float64Array:
    """Return the edges (count + 1,) of the cells that round a sample with the least squared error.

    Source: Lloyd 1982, "Least squares quantization in PCM".
    """
    ordered = np.sort(sample)
    low, high = np.quantile(ordered, [0.001, 0.999])
    centres = np.linspace(low, high, 2 * count + 1)[1::2]
    for _ in range(100):
        cells = np.searchsorted((centres[1:] + centres[:-1]) / 2, ordered)
        sizes = np.bincount(cells, minlength=count)
        means = np.bincount(cells, ordered, minlength=count) / np.maximum(sizes, 1)
        centres = np.where(sizes > 0, means, centres)
    inner = (centres[1:] + centres[:-1]) / 2
    return np.array([2 * centres[0] - inner[0], *inner, 2 * centres[-1] - inner[-1]])
