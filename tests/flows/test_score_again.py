"""Tests on a real Postgres what is scored once more: corrected and late candles, forecasts made again."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from flows import score as module
from flows.runtime.database import StatementTimeout
from flows.scoring.tally import Tally
from sql.connect import connect
from tests.helpers.forecasts_in_store import START, add_forecast, score_rows
from tests.helpers.score_runs import CLOSES, market, run, tasks_as_functions

__all__ = ["market", "tasks_as_functions"]

pytestmark = pytest.mark.usefixtures("tasks_as_functions")


def test_a_run_beside_a_lock_ends_and_keeps_the_chunks_before(
    market: psycopg.Connection[Any], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hour in (10, 11):
        add_forecast(market, CLOSES, hour)
    run(40)
    first, second = score_rows(market)
    market.execute("DELETE FROM prediction_scores WHERE as_of = %s", [first["as_of"]])
    market.execute("UPDATE ml_predictions SET scored_at = NULL")
    monkeypatch.setattr(module, "CHUNK", 1)
    monkeypatch.setenv("KRONOS_STATEMENT_TIMEOUT_S", "0.2")
    with connect(database_url) as other:
        other.execute("SELECT 1 FROM prediction_scores FOR UPDATE")
        with pytest.raises(StatementTimeout, match="the database gave up a statement"):
            run(40)
    assert [row["as_of"] for row in score_rows(market)] == [first["as_of"], second["as_of"]]


def test_running_again_changes_nothing(market: psycopg.Connection[Any]) -> None:
    for hour in (10, 11):
        add_forecast(market, CLOSES, hour)
    assert run(40).new == 2
    before = score_rows(market)
    again = run(40)
    assert again == Tally()
    assert score_rows(market) == before


def test_a_corrected_candle_changes_the_score(market: psycopg.Connection[Any]) -> None:
    for hour in (10, 20):
        add_forecast(market, CLOSES, hour)
    run(40)
    market.execute("UPDATE ohlcv_1h SET close = 5 WHERE ts = %s", (START + timedelta(hours=12),))
    again = run(40)
    assert (again.new, again.changed, again.unchanged) == (0, 1, 0)
    row = score_rows(market)[0]
    assert row["actual"][1] == 5
    assert row["covered"][1] is False
    assert row["updated_at"] > row["created_at"]


def test_later_corrections_count_with_a_longer_look_back(market: psycopg.Connection[Any]) -> None:
    add_forecast(market, CLOSES, 10)
    run(40)
    market.execute("UPDATE ohlcv_1h SET close = 5 WHERE ts = %s", (START + timedelta(hours=12),))
    later = 15 + 24 * 7
    assert run(later) == Tally()
    assert run(later, recheck_days=8).changed == 1


def test_a_forecast_made_again_is_scored_again_at_any_age(market: psycopg.Connection[Any]) -> None:
    add_forecast(market, CLOSES, 10)
    run(40)
    add_forecast(market, CLOSES, 10, width=0.001)
    tally = run(5000)
    assert (tally.new, tally.changed) == (0, 1)
    assert score_rows(market)[0]["covered"] == [False] * 4
    assert run(5000) == Tally()


@pytest.mark.parametrize(
    "late", [2, 0]
)  # a step in the middle, and the candle that the forecast started from
def test_a_late_candle_is_scored_at_any_age(market: psycopg.Connection[Any], late: int) -> None:
    at = START + timedelta(hours=10 + late)
    market.execute("DELETE FROM ohlcv_1h WHERE ts = %s", (at,))
    add_forecast(market, CLOSES, 10)
    add_forecast(market, CLOSES, 30)
    run(40)
    month = 40 + 24 * 30
    assert run(month) == Tally()  # no candle has arrived, so nothing is looked at
    add = "INSERT INTO ohlcv_1h (symbol, ts, open, high, low, close) VALUES ('BTC-USD', %s, 1, 1, 1, %s)"
    market.execute(add, (at, float("nan")))
    assert run(month) == Tally()
    market.execute("UPDATE ohlcv_1h SET close = %s WHERE ts = %s", (CLOSES[10 + late], at))
    tally = run(month)
    assert (tally.new, tally.changed, tally.unchanged) == (0, 1, 0)
    row = score_rows(market)[0]
    assert row["actual"] == CLOSES[11:15].tolist()
    assert row["last_close"] == CLOSES[10]
    assert None not in row["covered"] + row["direction_hit"]
    assert run(month) == Tally()


def test_scoring_all_looks_at_every_forecast(market: psycopg.Connection[Any]) -> None:
    for hour in (10, 20):
        add_forecast(market, CLOSES, hour)
    run(40)
    before = score_rows(market)
    assert run(5000) == Tally()
    assert run(5000, score_all=True).unchanged == 2
    assert score_rows(market) == before
    assert run(5000) == Tally()
