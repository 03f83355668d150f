"""Sample paths and statistics of paths, which predict-batch stores only on request."""

from typing import Any

import numpy as np
import psycopg
import pytest

from tests.helpers.predict_runs import SYMBOLS, market, run, stored
from tests.helpers.stand_in_server import Script

__all__ = ["market"]

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_sample_paths_are_stored_only_when_asked_for(market: psycopg.Connection[Any], script: Script) -> None:
    run()
    assert all(row["samples"] is None for row in stored(market).values())
    run(store_samples=True)
    for row in stored(market).values():
        assert np.shape(row["samples"]) == (3, 4)
        np.testing.assert_allclose(np.median(row["samples"], axis=0), row["p50"], rtol=1e-6)
    run()
    assert all(row["samples"] is None for row in stored(market).values())


def test_statistics_are_stored_only_when_asked_for(market: psycopg.Connection[Any], script: Script) -> None:
    run(with_events=False)
    plain = stored(market)
    assert all(row["statistics"] is None for row in plain.values())
    wanted = {"quantiles": [0.25, 0.75], "moves": [0.0025, -0.02], "realised_volatility": True}
    assert run(with_events=False, **wanted).is_completed()
    for row in stored(market).values():
        statistics = row["statistics"]
        assert (statistics["paths"], statistics["calibrated"], statistics["last_close"]) == (3, False, 100.0)
        assert statistics["quantiles"]["levels"] == [0.25, 0.75]
        # Three paths that rise by 0.1, 0.2 and 0.3 % a step, and have a close of 100 before.
        assert statistics["probabilities"]["up"] == [1.0] * 4
        above, below = statistics["probabilities"]["close_above"]
        assert (above["price"], above["probability"]) == (100.25, [1 / 3, 2 / 3, 1.0, 1.0])
        assert (below["price"], below["probability"]) == (98.0, [1.0] * 4)
        touched = [one["probability"][-1] for one in statistics["probabilities"]["touch"]]
        assert touched == [1.0, 0.0]
        assert np.shape(statistics["realised_volatility"]["values"]) == (2, 4)
        assert row["p50"] == plain[row["symbol"]]["p50"]
    rows = stored(market)
    again = run(with_events=False, **wanted)
    assert [outcome.unchanged for outcome in again.result()] == [True] * len(SYMBOLS)
    assert stored(market) == rows
    run(with_events=False)
    assert all(row["statistics"] is None for row in stored(market).values())


def test_a_server_that_knows_no_statistics_costs_them_alone_and_is_asked_again(
    market: psycopg.Connection[Any], script: Script
) -> None:
    script.without_statistics = True
    assert run(with_events=False, moves=[]).is_completed()
    assert all(row["statistics"] is row["fingerprint"] is None for row in stored(market).values())
    script.without_statistics = False
    assert run(with_events=False, moves=[]).is_completed()
    for row in stored(market).values():
        assert row["statistics"]["probabilities"] == {"up": [1.0] * 4}
