"""Predicts tokens by their frequencies, alone and after another token: baselines of the likelihood."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from market.types import Float64Array, Int64Array

STRENGTHS: Final = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Weights of the unigram in the bigram's smoothing, in counts; an evaluation takes the best of these."""


@dataclass(frozen=True)
class TokenCounts:
    """Counts of the tokens of the training data.

    Attributes
    ----------
    single : (V,)
        Of the predicted token.
    pairs : (W, V)
        Of the predicted token after another.
    """

    single: Float64Array
    pairs: Float64Array

    @classmethod
    def of(
        cls, previous: Int64Array, predicted: Int64Array, previous_size: int, predicted_size: int
    ) -> "TokenCounts":
        """Count (n,) predicted tokens after the (n,) tokens that precede them."""
        pairs = np.zeros((previous_size, predicted_size))
        np.add.at(pairs, (previous, predicted), 1.0)
        return cls(pairs.sum(axis=0), pairs)

    def unigram_nll(self, predicted: Int64Array) -> Float64Array:
        """Return nats of each token by its frequency, with one added to every count."""
        return np.asarray(-np.log(self._frequencies()[predicted]))

    def bigram_nll(self, previous: Int64Array, predicted: Int64Array, strength: float) -> Float64Array:
        """Return nats of each token after another, smoothed with `strength` counts of the unigram."""
        frequencies = self._frequencies()
        totals = self.pairs.sum(axis=1)
        counts = self.pairs[previous, predicted] + strength * frequencies[predicted]
        return np.asarray(-np.log(counts / (totals[previous] + strength)))

    def _frequencies(self) -> Float64Array:
        return np.asarray((self.single + 1) / (self.single + 1).sum())
