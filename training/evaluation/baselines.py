"""Baselines of the likelihood: frequencies of tokens and of pairs of tokens."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from market.types import Float64Array, Int64Array

# Sightings of the mean distribution that a row of pairs is mixed with; the baseline gets the best of these.
STRENGTHS: Final = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)


@dataclass(frozen=True)
class TokenCounts:
    """How often tokens stood in the training data.

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
    def of(cls, given: Int64Array, predicted: Int64Array, given_size: int, size: int) -> "TokenCounts":
        """Count (n,) predicted tokens and the (n,) tokens that they followed."""
        pairs = np.zeros((given_size, size))
        np.add.at(pairs, (given, predicted), 1.0)
        return cls(pairs.sum(axis=0), pairs)

    def unigram_nll(self, predicted: Int64Array) -> Float64Array:
        """Nats of each token by its frequency, one added to every count."""
        share = (self.single + 1) / (self.single + 1).sum()
        return np.asarray(-np.log(share[predicted]))

    def bigram_nll(self, given: Int64Array, predicted: Int64Array, strength: float) -> Float64Array:
        """Nats of each token after another; rare rows lean on the frequencies, by `strength` sightings."""
        share = (self.single + 1) / (self.single + 1).sum()
        rows = self.pairs.sum(axis=1)
        mixed = (self.pairs[given, predicted] + strength * share[predicted]) / (rows[given] + strength)
        return np.asarray(-np.log(mixed))
