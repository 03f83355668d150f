import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inference_server.engine.draws import path_draws

SEEDS = st.integers(0, 2**63 - 1)


@given(seed=SEEDS, path=st.integers(0, 10_000), steps=st.integers(1, 50))
def test_a_longer_horizon_begins_with_the_draws_of_a_shorter_one(seed: int, path: int, steps: int) -> None:
    short, long = path_draws(seed, path, steps), path_draws(seed, path, steps + 7)
    np.testing.assert_array_equal(short, long[:steps])
    assert short.dtype == np.float32
    assert ((short >= 0) & (short < 1)).all()


@given(seed=SEEDS, path=st.integers(0, 10_000))
def test_paths_and_seeds_draw_differently(seed: int, path: int) -> None:
    own = path_draws(seed, path, 16)
    assert not np.array_equal(own, path_draws(seed, path + 1, 16))
    assert not np.array_equal(own, path_draws(seed ^ 1, path, 16))


def test_draws_are_uniform() -> None:
    draws = np.concatenate([path_draws(3, k, 500) for k in range(100)])
    counts = np.histogram(draws, bins=20, range=(0, 1))[0]
    expected = draws.size / 20
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 43.8  # the 0.1 % point at 19 degrees of freedom
