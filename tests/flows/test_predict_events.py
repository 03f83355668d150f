"""Events, calendar and calibration of a run of predict-batch, and forecasts made without them."""

from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
import psycopg
import pytest

from flows.forecasting import tasks as predict_tasks
from inference_server.schemas import EncodedArray
from sql.loading import load
from tests.helpers.predict_runs import AS_OF, SYMBOLS, add_releases, artifact, market, run, stored
from tests.helpers.stand_in_server import Script

__all__ = ["market"]

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_events_travel_with_the_candles_and_are_told_in_the_row(
    market: psycopg.Connection[Any], script: Script
) -> None:
    add_releases(market)
    assert run().is_completed()
    for request in script.requests:
        assert isinstance(request.events, EncodedArray)
        assert request.events.shape == (44, 20)
        assert request.event_schema == 1
    for row in stored(market).values():
        assert "fomc" in row["event_context"]["events_active"]
    description, table = artifact()
    assert "WITHOUT EVENTS" not in description
    assert "fomc" in table[0]["events"]
    assert (table[0]["queue ms"], table[0]["model ms"]) == ("2", "30")
    assert float(table[0]["store ms"]) >= 0
    assert "/#symbol=BTC-USD&timeframe=1h&as_of=2024-12-18T11%3A00%3A00Z)" in table[0]["page"]


@pytest.mark.parametrize(
    ("model", "calendar", "with_events", "reason"),
    [
        ({"has_events": False}, True, True, "the bundle stand-in has no EventEncoder"),
        ({"event_schema": 7}, True, True, "event schema 7"),
        ({}, False, True, "calendar"),
        ({}, True, False, "turned off for this run"),
    ],
)
def test_forecasts_without_events_are_made_and_said_loudly(
    market: psycopg.Connection[Any],
    script: Script,
    caplog: pytest.LogCaptureFixture,
    model: dict[str, Any],
    calendar: bool,
    with_events: bool,
    reason: str,
) -> None:
    script.model = msgspec.structs.replace(script.model, **model)
    if calendar:
        add_releases(market)
    state = run(with_events=with_events)
    assert state.is_completed()
    assert state.name == ("CompletedWithoutEvents" if with_events else "Completed")
    assert all(request.events is None for request in script.requests)
    assert [row["event_context"] for row in stored(market).values()] == [None] * len(SYMBOLS)
    said = [record.message for record in caplog.records if record.message.startswith("events-not-used: WITH")]
    assert len(said) == 1
    assert said[0].startswith("events-not-used: WITHOUT EVENTS: BTC-USD, ETH-USD, EURUSD, SPY: ")
    assert reason in said[0]
    assert reason in artifact()[0]
    for row in stored(market).values():
        (text,) = row["warnings"]
        assert text.startswith("events-not-used: ")
        assert reason in text


def fail(monkeypatch: pytest.MonkeyPatch, query: str, times: int) -> list[str]:
    """Let a step of the run lose its connection so many times; what was tried."""
    tried: list[str] = []
    real = getattr(predict_tasks, query)

    def losing(*arguments: Any, **settings: Any) -> Any:
        tried.append(query)
        if len(tried) <= times:
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return real(*arguments, **settings)

    monkeypatch.setattr(predict_tasks, query, losing)
    return tried


def test_a_hiccup_of_the_database_costs_no_events(
    market: psycopg.Connection[Any], script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_releases(market)
    tried = fail(monkeypatch, "plan_events", 2)
    assert run().is_completed()
    assert len(tried) == 3
    assert all(request.events is not None for request in script.requests)


def test_a_calendar_that_stays_away_costs_the_events_and_not_the_run(
    market: psycopg.Connection[Any], script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_releases(market)
    tried = fail(monkeypatch, "plan_events", 99)
    assert run().is_completed()
    assert len(tried) == 4
    assert all(request.events is None for request in script.requests)
    for row in stored(market).values():
        assert any("the calendar can't be read: server closed" in text for text in row["warnings"])


@pytest.mark.parametrize("broken", ["connection", "table"])
def test_calibrations_that_cannot_be_had_cost_the_calibrated_envelope_alone(
    market: psycopg.Connection[Any], script: Script, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    if broken == "connection":
        fail(monkeypatch, "read_calibrations", 99)
    else:
        market.execute("DROP TABLE prediction_calibration")
    assert run().is_completed()
    for row in stored(market).values():
        assert row["p10_calibrated"] is None
        (text,) = [text for text in row["warnings"] if text.startswith("calibration-not-read: ")]
        assert "there is no calibrated envelope" in text


def test_a_learned_calibration_stands_beside_the_raw_envelope(
    market: psycopg.Connection[Any], script: Script
) -> None:
    run()
    before = stored(market)
    learned = {
        "timeframe": "1h", "model_name": "stand-in", "model_version": "v1", "asset_class": "crypto",
        "as_of": AS_OF, "low": [0.5] * 4, "high": [0.25] * 4, "counts": [99] * 4,
    }  # fmt: skip
    market.execute(load("upsert_calibration"), learned)
    market.execute(
        load("upsert_calibration"), learned | {"as_of": AS_OF + timedelta(hours=1), "low": [9.0] * 4}
    )
    run()
    after = stored(market)
    beside = ("p10_calibrated", "p90_calibrated", "updated_at")
    for symbol, row in after.items():
        assert {**row, **dict.fromkeys(beside)} == {**before[symbol], **dict.fromkeys(beside)}
        if symbol in ("BTC-USD", "ETH-USD"):
            low, high = np.array(row["p10"]), np.array(row["p90"])
            np.testing.assert_allclose(row["p10_calibrated"], low - 0.5 * (high - low))
            np.testing.assert_allclose(row["p90_calibrated"], high + 0.25 * (high - low))
        else:
            assert row["p10_calibrated"] is row["p90_calibrated"] is None
