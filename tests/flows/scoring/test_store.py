"""Scores as a summary reads them: backfilled forecasts apart from live ones, and a sample of many."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from prefect.logging import disable_run_logger

from flows.forecasting.store import insert_backfilled
from flows.score import score_due
from flows.scoring import store as module
from flows.scoring.store import read_steps, sample_threshold
from tests.helpers.forecasts_in_store import START, add_closes, add_forecast, add_instrument, score_rows, walk
from tests.sql.test_backfilled import row

HOUR = timedelta(hours=1)
CLOSES = walk(400)


@pytest.fixture
def scored(database: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Scores of 300 live forecasts of four steps and of two backfilled ones of one step."""
    add_instrument(database)
    add_closes(database, "BTC-USD", CLOSES)
    for hour in range(2, 302):
        add_forecast(database, CLOSES, hour)
    about = {"symbol": "BTC-USD", "warnings": ["in-training-span: the model knows these candles"]}
    written = insert_backfilled(
        database, [row(START, 1.0, symbol="BTC-USD"), row(START + HOUR, 1.0, **about)]
    )
    assert written == [True, True]
    with disable_run_logger():
        assert score_due.fn("1h", START + 350 * HOUR, timedelta(days=30)).new == 302
    return database


def test_backfilled_forecasts_have_a_model_of_their_own(scored: psycopg.Connection[Any]) -> None:
    steps, count = read_steps(scored, "1h", START - HOUR, START + 350 * HOUR)
    assert count == 302
    assert dict(steps.group_by("model").len().iter_rows()) == {
        "tiny": 1200,
        "tiny (backfilled)": 1,
        "tiny (backfilled) (in training span)": 1,
    }
    assert [one["backfilled"] for one in score_rows(scored)] == [True, True, *[False] * 300]
    assert scored.execute("SELECT count(*) FROM prediction_score_steps").fetchone() == (1200,)


def test_a_backfilled_forecast_that_becomes_live_is_scored_as_one(scored: psycopg.Connection[Any]) -> None:
    add_forecast(scored, CLOSES, 0)
    with disable_run_logger():
        assert score_due.fn("1h", START + 350 * HOUR, timedelta(days=30)).changed == 1
    assert not score_rows(scored)[0]["backfilled"]


def test_of_many_forecasts_a_sample_is_read_that_is_always_the_same(
    scored: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_SHOWN", 100)
    steps, count = read_steps(scored, "1h", START - HOUR, START + 350 * HOUR)
    assert count == 302
    assert 60 < steps["as_of"].n_unique() < 140
    again, _ = read_steps(scored, "1h", START - HOUR, START + 350 * HOUR)
    assert again.equals(steps)


@pytest.mark.parametrize(
    ("count", "most", "share"), [(0, 9, 1.0), (9, 9, 1.0), (18, 9, 0.5), (10**9, 1, 1e-9)]
)
def test_the_share_of_a_sample(count: int, most: int, share: float) -> None:
    assert sample_threshold(count, most) == pytest.approx(2**20 * share, abs=1)
