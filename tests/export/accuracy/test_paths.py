from pathlib import Path

import numpy as np
import pytest

from export.accuracy.decoder_rows import DecoderSessions
from export.accuracy.paths import draw_paths, path_closes, path_nll
from export.accuracy.tokens import encode_windows
from export.accuracy.windows import Shape, choose_windows
from inference_server.engine.engine import Engine
from inference_server.engine.jobs import ForecastJob
from tests.helpers.candle_series import walk

WINDOWS = choose_windows([walk("BTC-USD", 60), walk("EURUSD", 60, seed=1)], Shape(32, 4), 2)
COUNT = 9  # enough for the engine to use the graph of a shared prefix


@pytest.mark.parametrize("bundle", ["tiny_base_bundle", "half_bundle"])
def test_the_paths_are_those_of_the_engine(bundle: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(bundle)
    tokens = encode_windows(folder, WINDOWS, None)
    paths = draw_paths(DecoderSessions.of(folder), tokens, COUNT)
    closes = path_closes(folder, WINDOWS, tokens, paths)
    jobs = [
        ForecastJob(
            window.history,
            window.timestamps[:32],
            window.timestamps[32:],
            sample_count=COUNT,
            top_p=1.0,
            seed=seed,
        )
        for seed, window in enumerate(WINDOWS)
    ]
    expected = Engine.load(folder, threads=1).forecast(jobs)
    np.testing.assert_allclose(closes, np.stack(expected)[..., 3], rtol=1e-5)


@pytest.mark.parametrize("bundle", ["tiny_base_bundle", "half_bundle"])
def test_the_bundle_that_drew_paths_gives_them_the_probability_that_it_drew_them_with(
    bundle: str, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(bundle)
    tokens = encode_windows(folder, WINDOWS, None)
    sessions = DecoderSessions.of(folder)
    paths = draw_paths(sessions, tokens, COUNT)
    np.testing.assert_allclose(path_nll(sessions, tokens, paths), paths.nll, rtol=1e-6)
    assert (np.diff(paths.nll, axis=2) > 0).all()
