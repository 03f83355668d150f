"""Normalisation of a window of candles, and its way back: upstream's arithmetic to the last bit."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CLIP = 5.0
EPSILON = 1e-5

Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class Normalised:
    """A window scaled by its own mean and spread, each (6,); values (T, 6), clipped to ±5."""

    values: Float32Array
    mean: Float32Array
    std: Float32Array

    def restore(self, values: Float32Array) -> Float32Array:
        """Raw units of normalised candles (..., 6)."""
        return values * (self.std + np.float32(EPSILON)) + self.mean


def normalise(candles: NDArray[np.floating]) -> Normalised:
    """(x - mean) / (std + 1e-5), clipped to ±5, per feature over the window.

    Parameters
    ----------
    candles
        (T, 6) raw candles. They are cast to float32 and laid out feature by feature first, as
        upstream's data frame hands them over: NumPy then sums each feature pairwise. Another layout
        or precision changes the last bits of mean and spread, and with them a token now and then.
    """
    x = np.asfortranarray(candles, dtype=np.float32)
    mean, std = np.mean(x, axis=0), np.std(x, axis=0)
    values = np.clip((x - mean) / (std + np.float32(EPSILON)), -CLIP, CLIP)
    return Normalised(np.ascontiguousarray(values), mean, std)
