"""Windows that slide: paths that share what they have in common draw what each would draw by itself."""

from pathlib import Path

import numpy as np
import pytest

from inference_server.engine.batching import Batching
from inference_server.engine.decoder import token_bytes
from inference_server.engine.engine import Engine
from inference_server.engine.model import LEAST_ROWS, EngineError
from inference_server.engine.sequence import Caller
from tests.helpers.jobs import hourly_job


@pytest.fixture(scope="module")
def engine(tiny_bundle: Path) -> Engine:
    return Engine.load(tiny_bundle, threads=1)


@pytest.mark.parametrize(
    ("length", "pred_len", "stride"),
    [
        (512, 12, 1),
        (505, 20, 1),  # the first steps fit
        (600, 9, 1),  # the history alone is longer than the context
        (512, 40, 8),
        (500, 60, 40),
        (512, 100, 450),  # the tokens drawn fill the window: nothing is left to share
    ],
)
def test_shared_windows_draw_what_windows_of_each_path_draw(
    length: int, pred_len: int, stride: int, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logits agree to rounding, so a token may differ where a draw falls on a boundary: hardly ever."""
    job = hourly_job(length, pred_len, sample_count=6, context_stride=stride, seed=4, events=True)
    (shared,) = engine.forecast([job])
    monkeypatch.setattr(Batching, "_lane_of", lambda self, job: self._batch)
    (each,) = engine.forecast([job])
    assert (shared == each).all(axis=(1, 2)).mean() > 0.8
    assert len(np.unique(shared[:, -1, 3])) > 1


@pytest.mark.parametrize("stride", [1, 16])
def test_a_cache_for_one_path_at_a_time_changes_nothing(
    stride: int, tiny_bundle: Path, engine: Engine
) -> None:
    small = Engine.load(tiny_bundle, cache_bytes=4 * 512 * token_bytes(engine.manifest), threads=1)
    job = hourly_job(512, 30, sample_count=5, context_stride=stride)
    np.testing.assert_array_equal(small.forecast([job])[0], engine.forecast([job])[0])


def test_the_smallest_cache_of_an_8_bit_bundle_has_room_for_every_job(tiny_int8_bundle: Path) -> None:
    large, least = Engine.load(tiny_int8_bundle, threads=1), LEAST_ROWS
    row = 512 * token_bytes(large.manifest)
    with pytest.raises(EngineError, match=f"needs {least * 512}"):
        Engine.load(tiny_int8_bundle, cache_bytes=(least - 1) * row, threads=1)
    small = Engine.load(tiny_int8_bundle, cache_bytes=least * row, threads=1)
    jobs = [
        hourly_job(512, 20, sample_count=3),
        hourly_job(489, 24, sample_count=12),
        hourly_job(489, 24, sample_count=2),
        hourly_job(40, 300, sample_count=9),
    ]
    for job in jobs:
        np.testing.assert_array_equal(small.forecast([job])[0], large.forecast([job])[0])


def test_callers_take_turns_between_windows(engine: Engine) -> None:
    """A long job that slides at every step lets another caller's through."""
    batching = Batching(engine)
    long = batching.add(hourly_job(512, 60, sample_count=3), Caller())
    for _ in range(12):
        batching.step()
    short = batching.add(hourly_job(512, 3, walk=1, sample_count=3), Caller())
    while short.finished_at is None:
        batching.step()
    assert long.finished_at is None
    while not batching.idle:
        batching.step()
    for group in (long, short):
        np.testing.assert_array_equal(group.paths, engine.forecast([group.job])[0])


def test_a_job_that_is_cancelled_within_a_window_leaves_the_others_alone(engine: Engine) -> None:
    batching = Batching(engine)
    gone, kept = (batching.add(hourly_job(512, 8, walk=w, sample_count=2)) for w in (0, 1))
    for _ in range(4):
        batching.step()
    batching.cancel(gone)
    while not batching.idle:
        batching.step()
    assert gone.finished_at is None
    np.testing.assert_array_equal(kept.paths, engine.forecast([kept.job])[0])
