"""Tests the flow score-forecasts on a Prefect server: its state, artifacts and records."""

import json
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from prefect.artifacts import Artifact
from prefect.client.schemas.objects import StateType

from flows.score import score
from flows.scoring.tally import Tally
from tests.helpers.forecasts_in_store import START, add_forecast
from tests.helpers.score_runs import CLOSES, market

__all__ = ["market"]

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_the_flow_publishes_a_table_and_a_picture(market: psycopg.Connection[Any]) -> None:
    for hour in range(30):
        add_forecast(market, CLOSES, hour, p10_calibrated=[1.0] * 4, p90_calibrated=[9999.0] * 4)
    as_of = START + timedelta(hours=40)
    state = score(timeframe="1h", as_of=as_of, return_state=True)
    assert (state.type, state.name) == (StateType.COMPLETED, "CompletedWithoutEvents")
    tally = state.result()
    assert isinstance(tally, Tally)
    assert tally.new == 30
    table, picture = Artifact.get("score-1h"), Artifact.get("score-1h-reliability")
    assert table is not None
    assert not isinstance(table, Coroutine)
    assert picture is not None
    assert not isinstance(picture, Coroutine)
    rows = json.loads(str(table.data))
    assert rows[0]["split"] == "all"
    assert rows[0]["closes"] == "120"
    assert rows[0]["calibrated, %"] == "100.0"
    assert {row["split"] for row in rows} == {"all", "symbol", "step", "made under"}
    assert "30 newly scored" in str(table.description)
    assert "SCORES WITHOUT EVENTS" in str(table.description)
    assert str(picture.data).startswith("data:image/png;base64,")
    assert score(timeframe="1h", as_of=as_of) == Tally()


def test_with_nothing_to_score_a_run_completes(market: psycopg.Connection[Any]) -> None:
    assert score(timeframe="1d", as_of=START, return_state=True).is_completed()


def test_a_run_and_the_coverage_of_the_last_week_are_recorded(market: psycopg.Connection[Any]) -> None:
    first = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=8) - START
    shift = "UPDATE ohlcv_1h SET ts = ts + %s::interval"
    market.execute(shift, (first - timedelta(hours=10),))
    add_forecast(
        market,
        CLOSES,
        10,
        as_of=START + first,
        timestamps=[START + first + timedelta(hours=step) for step in range(1, 5)],
    )
    assert score(timeframe="1h", return_state=True).is_completed()
    (counts,) = market.execute("SELECT flow, timeframe, state, counts FROM flow_runs").fetchall()
    expected = {"new": 1, "changed": 0, "unchanged": 0, "unscored": 0}
    assert counts == ("score-forecasts", "1h", "CompletedWithoutEvents", expected)  # there is no calendar
    (coverage,) = market.execute("SELECT asset_class, model_name, closes FROM recent_coverage").fetchall()
    assert coverage == ("crypto", "tiny", 4)
