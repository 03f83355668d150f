"""The checks that every published size passes against the upstream predictor."""

from pathlib import Path
from typing import Any

import numpy as np

from inference_server.engine.batching import Batching
from inference_server.engine.jobs import ForecastJob
from tests.helpers.oracle import oracle_paths
from tests.helpers.real_windows import real_job
from tests.parity.conftest import Pair

RTOL = 1e-4


def assert_same(pair: Pair, job: ForecastJob, columns: int = 6, *, guess: bool = False) -> None:
    """Equal de-normalised values step by step: one other token would move a whole candle.

    With `guess` upstream's transformer is shown our tokens first and runs once if they are its own.
    """
    batching = Batching(pair.engine)
    group = batching.add(job)
    while not batching.idle:
        batching.step()
    ours, history = group.paths, group.encoded
    assert history is not None
    guesses = [
        (np.append(history.s1, group.s1[k])[None], np.append(history.s2, group.s2[k])[None])
        for k in range(job.sample_count)
    ]
    theirs = oracle_paths(pair.oracle, job, columns, guesses if guess else None)
    # A generated value near zero (a volume, say) is compared on the scale it was de-normalised with.
    allowed = RTOL * np.maximum(np.abs(theirs), job.candles.std(axis=0) + 1e-5)
    difference = np.abs(ours - theirs)
    assert (difference <= allowed).all(), f"first difference at {np.argwhere(difference > allowed)[0]}"


def greedy_path_over_120_steps(pair: Pair, candles: Path, *, guess: bool = False) -> None:
    assert_same(pair, real_job(candles, "BTC-USD", 20_000, 392, 120, top_k=1), guess=guess)


def greedy_path_where_the_context_slides_at_every_step(pair: Pair, candles: Path, steps: int = 10) -> None:
    assert_same(pair, real_job(candles, "XAUUSD", 9_999, 512, steps, top_k=1, context_stride=1))


def sampled_paths_of_the_same_draws(
    pair: Pair, candles: Path, steps: int, *, guess: bool = False, **settings: Any
) -> None:
    # With seed 7 two logits of one step differ by less than float32 tells apart, and their order decides.
    assert_same(pair, real_job(candles, "EURUSD", 30_000, 256, steps, seed=8, **settings), guess=guess)
