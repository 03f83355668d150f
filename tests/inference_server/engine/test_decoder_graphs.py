"""Rows with and without events: the graph that a batch runs changes no row's result."""

from pathlib import Path

import numpy as np
import pytest

from inference_server.engine.batching import Batching
from inference_server.engine.bundle import DECODER_FILE, load_manifest
from inference_server.engine.engine import Engine
from inference_server.engine.jobs import ForecastJob
from inference_server.engine.shared_prefix import SHARED_PATHS
from tests.helpers.jobs import hourly_job

FEW, MANY = 2, SHARED_PATHS  # sample paths: in slots of their own, and behind a shared prefix


@pytest.fixture(scope="module")
def engines(adapter_bundle: Path, tiny_base_bundle: Path) -> dict[str, Engine]:
    folders = {"adapter": adapter_bundle, "base-only": tiny_base_bundle}
    return {name: Engine.load(folder, threads=1, cache_bytes=64 << 20) for name, folder in folders.items()}


@pytest.mark.parametrize("paths", [FEW, MANY])
@pytest.mark.parametrize("length", [90, 505])  # the context of the second slides
def test_without_events_a_bundle_with_an_adapter_is_the_base_bundle_to_the_bit(
    length: int, paths: int, engines: dict[str, Engine]
) -> None:
    job = hourly_job(length, 14, sample_count=paths, seed=3)
    adapter, base = (engines[name].forecast([job])[0] for name in ("adapter", "base-only"))
    np.testing.assert_array_equal(adapter, base)
    with_events = hourly_job(length, 14, sample_count=paths, seed=3, events=True)
    assert not np.array_equal(engines["adapter"].forecast([with_events])[0], base)


@pytest.mark.parametrize("steps_before", [0, 3, 30])
def test_a_batch_that_turns_to_the_adapter_and_back_keeps_every_row(
    steps_before: int, engines: dict[str, Engine]
) -> None:
    """A job with events joins jobs without, one of them with a full context, and leaves before them."""
    plain = [
        hourly_job(60, 60, sample_count=2, seed=1),
        hourly_job(505, 40, walk=1, sample_count=2, seed=2, context_stride=8),
    ]
    events = hourly_job(70, 9, walk=2, sample_count=2, seed=5, events=True)
    alone = [_alone(engines["base-only"], job) for job in plain] + [_alone(engines["adapter"], events)]
    batching = Batching(engines["adapter"])
    groups = [batching.add(job) for job in plain]
    for _ in range(8 + steps_before):  # eight quanta bring both jobs to their first steps
        batching.step()
    groups.append(batching.add(events))
    ended = []
    while not batching.idle:
        ended += batching.step()
    assert ended[0] is groups[-1]
    for group, expected in zip(groups, alone, strict=True):
        np.testing.assert_array_equal(group.paths, expected)


def _alone(engine: Engine, job: ForecastJob) -> np.ndarray:
    return engine.forecast([job])[0]


def test_only_rows_with_events_or_many_paths_leave_the_base_models_graph(
    adapter_bundle: Path, tiny_base_bundle: Path, engines: dict[str, Engine]
) -> None:
    """`decoder.onnx` is the base-only bundle's: a request without events costs the same by construction."""
    base, capable = (load_manifest(folder) for folder in (tiny_base_bundle, adapter_bundle))
    assert base.files[DECODER_FILE] == capable.files[DECODER_FILE]
    graphs = engines["adapter"].decoder.graphs
    plain = graphs.of(events=False, shared_prefix=False)
    others = [graphs.of(events=e, shared_prefix=p) for e, p in ((True, False), (True, True), (False, True))]
    assert not plain.gated
    assert "adapter_gate" not in {given.name for given in plain.session.get_inputs()}
    assert {id(graph.session) for graph in others} == {id(others[0].session)}  # which holds its weights once
    assert others[0].session is not plain.session
