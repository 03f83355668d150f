"""Memory that is bound once, on the CPU: the same tokens as with memory made for each batch."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_server.engine.bundle import load_manifest
from inference_server.engine.decoder import token_bytes
from inference_server.engine.device import CpuDevice, Work
from inference_server.engine.engine import Engine
from inference_server.engine.slots import BURST
from inference_server.engine.step_loop import Buckets, bucket_sizes
from tests.helpers.jobs import hourly_job

# Rows join and leave: horizons, numbers of paths and ends of the context differ.
JOBS = [
    hourly_job(100, 12, sample_count=3, seed=1),
    hourly_job(80, 40, walk=1, sample_count=2, seed=2, events=True),
    hourly_job(505, 20, walk=2, sample_count=2, seed=3, context_stride=4),
    hourly_job(60, 33, walk=3, sample_count=5, seed=4, top_p=1.0),
]


class SeveralSteps(CpuDevice):
    """The CPU with a GPU's habit of doing several steps before it looks at what else there is."""

    work = Work(most_slots=16, refill_tokens=4096, detokenise_rows=4, steps=8)


@pytest.mark.parametrize("device", [CpuDevice(1), SeveralSteps(1)], ids=["a step", "several steps"])
def test_padded_rows_and_fixed_memory_change_no_token(tiny_bundle: Path, device: CpuDevice) -> None:
    manifest = load_manifest(tiny_bundle)
    rows = 14
    plain = Engine(tiny_bundle, manifest, CpuDevice(1), 2 * rows * 512 * token_bytes(manifest))
    bucketed = Engine(tiny_bundle, manifest, device, 2 * rows * 512 * token_bytes(manifest))
    bucketed.buckets = Buckets(bucketed.decoder, bucketed.max_context, bucketed.slot_count, BURST)
    bucketed.buckets.capture(bucketed.decoder)
    for ours, theirs in zip(bucketed.forecast(JOBS), plain.forecast(JOBS), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@given(most=st.integers(1, 3000))
def test_bucket_sizes_cover_every_number_of_rows_closely(most: int) -> None:
    sizes = bucket_sizes(most)
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == most
    assert len(sizes) <= 21
    for rows in range(1, most + 1):
        fitting = next(size for size in sizes if size >= rows)
        assert fitting < max(2 * rows, 2)
        assert rows < 8 or fitting <= 1.5 * rows
