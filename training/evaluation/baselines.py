"""What a forecast has to beat: token frequencies, pairs of tokens, and a random walk."""

from dataclasses import dataclass
from math import erf, exp, pi, sqrt
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


def walk_spread(closes: Float64Array, step: int) -> float:
    """Standard deviation of the log return over `step` candles, from the volatility of a history."""
    return float(np.std(np.diff(np.log(closes))) * np.sqrt(step))


def crps_normal(mean: float, spread: float, value: float) -> float:
    """CRPS of a normal distribution (Gneiting and Raftery 2007, equation 21)."""
    z = (value - mean) / spread
    density, below = exp(-z * z / 2) / sqrt(2 * pi), (1 + erf(z / sqrt(2))) / 2
    return spread * (z * (2 * below - 1) + 2 * density - 1 / sqrt(pi))


def crps_samples(samples: Float64Array, value: float) -> float:
    """CRPS of m samples, with the m (m - 1) estimate of their spread that few samples don't bias."""
    ordered = np.sort(samples)
    m = len(ordered)
    spread = 2 * np.sum((2 * np.arange(1, m + 1) - m - 1) * ordered) / (m * (m - 1))
    return float(np.abs(ordered - value).mean() - spread / 2)
