"""Uniform random numbers for sampling, which depend on the seed and the index of the path alone."""

import numpy as np

from market.types import Float32Array


def path_draws(seed: int, path: int, steps: int) -> Float32Array:
    """Draws of one sample path, (steps, 2) in [0, 1): one for s1 and one for s2 of each step.

    Philox keyed by (seed, path) (Salmon et al. 2011), so path k is the same whatever the number of
    paths, the horizon or the neighbours in a batch.
    """
    generator = np.random.Generator(np.random.Philox(key=np.array([seed, path], dtype=np.uint64)))
    return generator.random((steps, 2), dtype=np.float32)
