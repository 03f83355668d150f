from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference_server.engine.bundle import load_manifest
from inference_server.engine.decoder import token_bytes
from inference_server.engine.device import CpuDevice
from inference_server.engine.engine import Engine
from inference_server.engine.jobs import ForecastJob
from inference_server.engine.model import EngineError
from tests.helpers.jobs import hourly_job
from tests.helpers.onnx_graphs import graphs_of


@pytest.fixture(scope="module")
def engine(tiny_bundle: Path) -> Engine:
    return Engine.load(tiny_bundle, threads=1)


def test_paths_have_the_shape_asked_for(engine: Engine) -> None:
    (paths,) = engine.forecast([hourly_job(sample_count=3)])
    assert paths.shape == (3, 12, 6)
    assert paths.dtype == np.float32
    assert np.isfinite(paths).all()


def test_a_path_is_the_same_whatever_the_number_of_paths_and_steps(engine: Engine) -> None:
    (many,) = engine.forecast([hourly_job(sample_count=5, seed=9)])
    (one,) = engine.forecast([hourly_job(sample_count=1, seed=9)])
    np.testing.assert_array_equal(many[:1], one)
    assert len(np.unique(many[:, -1, 3])) > 1
    assert not np.array_equal(one, engine.forecast([hourly_job(sample_count=1, seed=10)])[0])


JOBS = st.builds(
    hourly_job,
    length=st.integers(2, 130),
    pred_len=st.integers(1, 20),
    walk=st.integers(0, 5),
    sample_count=st.sampled_from([1, 2, 3, 9]),
    temperature=st.sampled_from([0.5, 1.0, 1.7]),
    top_k=st.sampled_from([0, 1, 30]),
    top_p=st.sampled_from([0.5, 0.9, 1.0]),
    seed=st.integers(0, 2**63 - 1),
    events=st.sampled_from([None, True]),
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(jobs=st.lists(JOBS, min_size=2, max_size=5))
def test_a_result_does_not_depend_on_its_neighbours(engine: Engine, jobs: list[ForecastJob]) -> None:
    together = engine.forecast(jobs)
    for job, result in zip(jobs, together, strict=True):
        np.testing.assert_array_equal(engine.forecast([job])[0], result)


def test_paths_that_share_their_history_s_cache_are_those_with_a_copy_each(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logits agree to rounding, so a token may differ where a draw falls on a boundary: hardly ever."""
    job = hourly_job(300, 40, sample_count=40, events=True)
    (shared,) = engine.forecast([job])
    monkeypatch.setattr("inference_server.engine.shared_prefix.SHARED_PATHS", 1_000)
    (copied,) = engine.forecast([job])
    same = (shared == copied).all(axis=(1, 2))
    assert same.mean() > 0.9
    assert len(np.unique(shared[:, -1, 3])) > 10


def test_sliding_and_exact_jobs_share_a_call(engine: Engine) -> None:
    jobs = [
        hourly_job(40),
        hourly_job(505, 20, context_stride=4, sample_count=2),
        hourly_job(60, 5, sample_count=2),
    ]
    for job, result in zip(jobs, engine.forecast(jobs), strict=True):
        np.testing.assert_array_equal(engine.forecast([job])[0], result)


def test_a_small_cache_splits_the_paths_and_changes_nothing(tiny_bundle: Path, engine: Engine) -> None:
    regions, rows = 2, 3
    small = Engine.load(
        tiny_bundle, cache_bytes=regions * rows * 512 * token_bytes(engine.manifest), threads=1
    )
    jobs = [
        hourly_job(500, 12, sample_count=7),
        hourly_job(300, 12, walk=1, sample_count=4),
        hourly_job(500, 13, sample_count=99),
    ]
    for ours, theirs in zip(small.forecast(jobs), engine.forecast(jobs), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_cache_without_room_for_one_row_is_refused(tiny_bundle: Path) -> None:
    with pytest.raises(EngineError, match="holds 0 tokens; tiny needs 2048"):
        Engine.load(tiny_bundle, cache_bytes=100)


@pytest.mark.parametrize("stride", [50, 511])
def test_strides_agree_until_the_context_is_full(engine: Engine, stride: int) -> None:
    slid, jumped = (engine.forecast([hourly_job(500, 24, top_k=1, context_stride=n)])[0] for n in (1, stride))
    np.testing.assert_array_equal(jumped[:, :13], slid[:, :13])
    assert not np.array_equal(jumped, slid)


def test_events_of_the_history_alone_are_followed_by_zero_rows(engine: Engine) -> None:
    job = hourly_job(events=True)
    assert job.events is not None
    history = replace(job, events=job.events[:100])
    zeros = np.zeros((12, 20), np.float32)
    padded = replace(job, events=np.concatenate([job.events[:100], zeros]))
    short, long = engine.forecast([history, padded])
    np.testing.assert_array_equal(short, long)
    assert not np.array_equal(short, engine.forecast([job])[0])


@pytest.mark.parametrize(
    ("row", "channel", "changes"),
    [(99, 0, True), (100, 0, True), (111, 0, True), (99, 5, True), (0, 0, False)],
)
def test_which_event_rows_reach_the_forecast(engine: Engine, row: int, channel: int, changes: bool) -> None:
    """Alignment "next" moves the schedule of row i to token i - 1; row 0's schedule leaves the window."""
    quiet = hourly_job(events=None)
    events = np.zeros((112, 20), np.float32)
    marked = events.copy()
    marked[row, channel] = 3
    a, b = engine.forecast([replace(quiet, events=events), replace(quiet, events=marked)])
    assert (not np.array_equal(a, b)) == changes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample_count": 0}, "sample_count is 0"),
        ({"context_stride": 0}, "context_stride is 0; 1 to 511"),
        ({"context_stride": 512}, "context_stride is 512"),
        ({"future_timestamps": np.zeros(0, "datetime64[us]")}, "pred_len is 0"),
        ({"future_timestamps": np.zeros(513, "datetime64[us]")}, "pred_len is 513; 1 to 512"),
        ({"candles": np.zeros((100, 5))}, r"candles \(100, 5\)"),
        ({"timestamps": np.zeros(99, "datetime64[us]")}, r"timestamps \(99,\)"),
        ({"events": np.zeros((101, 20), np.float32)}, r"expected is \(100, 20\) or \(112, 20\)"),
        ({"events": np.zeros((112, 19), np.float32)}, r"\(112, 19\)"),
    ],
)
def test_an_impossible_job_is_refused_before_anything_runs(
    engine: Engine, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(EngineError, match=message):
        engine.forecast([hourly_job(), replace(hourly_job(), **change)])


def test_events_need_a_bundle_with_an_encoder(tiny_base_bundle: Path) -> None:
    with pytest.raises(EngineError, match="no EventEncoder"):
        Engine.load(tiny_base_bundle, threads=1).forecast([hourly_job(events=True)])


@pytest.mark.parametrize("settings", [{}, {"top_k": 5}, {"top_k": 1}, {"sample_count": 9}])
@pytest.mark.parametrize("head", ["proj_s1.bias", "proj_s2.bias"])
def test_paths_drawn_from_no_numbers_are_no_numbers(
    tiny_bundle: Path, tmp_path: Path, head: str, settings: dict[str, Any]
) -> None:
    """Some token can always be drawn: from logits of NaN the answer would look like any other."""
    for name in load_manifest(tiny_bundle).files:
        if not name.endswith(".onnx"):
            continue
        model = onnx.load(tiny_bundle / name)
        for table in (tensor for graph in graphs_of(model.graph) for tensor in graph.initializer):
            if table.name.endswith(head):
                values = onnx.numpy_helper.to_array(table).copy()
                values[5] = np.nan
                table.CopyFrom(onnx.numpy_helper.from_array(values, table.name))
        onnx.save(model, tmp_path / name)
    broken = Engine(tmp_path, load_manifest(tiny_bundle), CpuDevice(1))
    (paths,) = broken.forecast([hourly_job(**settings)])
    assert np.isnan(paths).all()
