from pathlib import Path

import numpy as np
import pytest

from inference_server.engine import native_operators
from inference_server.engine.engine import Engine
from tests.helpers.jobs import hourly_job


@pytest.mark.parametrize(("lookback", "pred_len"), [(40, 8), (500, 14)])  # within the context, and sliding
@pytest.mark.parametrize("paths", [1, 9])
def test_a_bundle_gives_the_same_forecast_without_the_compiled_operators(
    tiny_base_bundle: Path, monkeypatch: pytest.MonkeyPatch, lookback: int, pred_len: int, paths: int
) -> None:
    if native_operators.library() is None:
        pytest.skip("there is no compiled library")
    job = hourly_job(lookback, pred_len, sample_count=paths)
    own = Engine.load(tiny_base_bundle, threads=1).forecast([job])[0]
    monkeypatch.setattr(native_operators, "library", lambda: None)
    without = Engine.load(tiny_base_bundle, threads=1).forecast([job])[0]
    np.testing.assert_allclose(own, without, rtol=1e-5)
